/** Shapes as corners, in shares of the image's width and height. */

/** The corners of a shape. */
export function cornersOf(kind, shape) {
  return kind === "line" ? [shape.start, shape.end] : shape.polygon;
}

/** Move a corner by some way, or the whole shape where corner is null, inside the image. */
export function moveShape(draft, { kind, index, corner }, by) {
  const shape = draft[kind][index];
  const corners = cornersOf(kind, shape);
  const moving = corner === null ? corners : [corners[corner]];
  const way = [0, 1].map((axis) => {
    const values = moving.map((point) => point[axis]);
    return Math.min(Math.max(by[axis], -Math.min(...values)), 1 - Math.max(...values));
  });
  const moved = corners.map((point) => (moving.includes(point) ? [inside(point[0] + way[0]), inside(point[1] + way[1])] : point));
  if (kind === "line") [shape.start, shape.end] = moved;
  else shape.polygon = moved;
}

/** Clip to the image and round to four decimals: less than a pixel, and readable in a file. */
export function inside(value) {
  return Math.round(1e4 * Math.min(Math.max(value, 0), 1)) / 1e4;
}

/** Whether two sides of a path cross or touch that are not neighbours. The device refuses such zones. */
export function crossesItself(corners, closed) {
  const count = closed ? corners.length : corners.length - 1;
  const side = (index) => [corners[index], corners[(index + 1) % corners.length]];
  for (let first = 0; first < count; first += 1) {
    for (let second = first + 2; second < count; second += 1) {
      const neighbours = closed && first === 0 && second === count - 1;
      if (!neighbours && meet(...side(first), ...side(second))) return true;
    }
  }
  return false;
}

function meet(a, b, c, d) {
  const [abc, abd, cda, cdb] = [turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b)];
  if (abc !== abd && cda !== cdb) return true;
  return [[abc, a, b, c], [abd, a, b, d], [cda, c, d, a], [cdb, c, d, b]].some(([side, from, to, point]) => side === 0 && between(from, to, point));
}

function turn([ax, ay], [bx, by], [cx, cy]) {
  return Math.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax));
}

function between(from, to, point) {
  return [0, 1].every((axis) => Math.min(from[axis], to[axis]) <= point[axis] && point[axis] <= Math.max(from[axis], to[axis]));
}
