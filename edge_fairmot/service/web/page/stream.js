/** Frames and status from the device, over a WebSocket that reconnects. */

const LONGEST_WAIT_MS = 10_000;
const decoder = new TextDecoder();

/**
 * Connect, and reconnect after every end.
 *
 * onFrame(header, jpeg) returns a promise that resolves when the frame is drawn: the device sends the next ones
 * only as fast as that. onStatus(status) is called once a second, onOpen() and onAway() when the connection changes.
 * `path` is that of the WebSocket, relative to the page.
 */
export function connect({ onFrame, onStatus, onOpen, onAway }, path = "ws") {
  let wait = 400;

  function open() {
    const address = new URL(path, location.href);
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
      await reloadIfTokenIsNeeded();
    };
  }

  async function take(socket, data) {
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(decoder.decode(new Uint8Array(data, 4, length)));
    try {
      await onFrame(header, new Uint8Array(data, 4 + length));
    } finally {
      // Also for an image that could not be decoded: otherwise the device would send no other one.
      if (socket.readyState === WebSocket.OPEN) socket.send(String(header.number));
    }
  }

  open();
}

async function reloadIfTokenIsNeeded() {
  try {
    const answer = await fetch("api/status");
    if (answer.status === 401) location.reload();
  } catch {
    // The device is away: the next connection will show it.
  }
}
