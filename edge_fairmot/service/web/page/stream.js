/** Scenes and status as the device sends them, for as long as the page is open. */

const LONGEST_WAIT_MS = 10_000;
const decoder = new TextDecoder();

/**
 * Connect, and connect again whenever that ends.
 *
 * onScene(head, jpeg) gives a promise that resolves when the scene is drawn: the device sends the next ones only
 * as fast as that. onStatus(status) comes once a second. onOpen() and onAway() tell of the connection.
 */
export function connect({ onScene, onStatus, onOpen, onAway }) {
  let wait = 400;

  function open() {
    const address = new URL("/ws", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      wait = 400;
      onOpen();
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") onStatus(JSON.parse(data));
      else take(socket, data);
    };
    socket.onclose = async () => {
      onAway();
      setTimeout(open, wait * (0.5 + Math.random()));
      wait = Math.min(2 * wait, LONGEST_WAIT_MS);
      await reloadWhereTokenIsAskedFor();
    };
  }

  async function take(socket, data) {
    const length = new DataView(data).getUint32(0, true);
    const head = JSON.parse(decoder.decode(new Uint8Array(data, 4, length)));
    try {
      await onScene(head, new Uint8Array(data, 4 + length));
    } finally {
      // Also of a picture that could not be decoded, or no other would ever come.
      if (socket.readyState === WebSocket.OPEN) socket.send(String(head.number));
    }
  }

  open();
}

async function reloadWhereTokenIsAskedFor() {
  try {
    const answer = await fetch("/api/status");
    if (answer.status === 401) location.reload();
  } catch {
    // The device is away: connecting again will tell.
  }
}
