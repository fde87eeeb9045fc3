// Maps on canvases that show the same part of the land.

/** #rrggbb as a pixel of ImageData: red, green, blue, alpha, from the lowest byte. */
function pixel(colour) {
  const value = parseInt(colour.slice(1), 16);
  return ((255 << 24) | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The visible part of the land: its centre in cells, and the zoom factor. */
class Viewport {
  static MOST = 60;

  constructor(grid) {
    const middle = (grid.lat[0] + grid.lat[1]) / 2;
    const dLat = grid.rows > 1 ? Math.abs(grid.lat[1] - grid.lat[0]) / (grid.rows - 1) : 1;
    const dLon = grid.cols > 1 ? Math.abs(grid.lon[1] - grid.lon[0]) / (grid.cols - 1) : dLat;
    this.grid = grid;
    this.aspect = dLat / dLon / Math.cos((middle * Math.PI) / 180);
    this.cellKm = dLon * 111.195 * Math.cos((middle * Math.PI) / 180);
    this.watchers = [];
    this.fit();
  }

  fit() {
    this.move(this.grid.cols / 2, this.grid.rows / 2, 1);
  }

  move(x, y, zoom = this.zoom) {
    this.zoom = Math.min(Viewport.MOST, Math.max(1, zoom));
    const free = this.zoom === 1 ? 0 : 1; // without zoom, the whole map is centred
    this.x = free ? Math.min(this.grid.cols, Math.max(0, x)) : this.grid.cols / 2;
    this.y = free ? Math.min(this.grid.rows, Math.max(0, y)) : this.grid.rows / 2;
    for (const watcher of this.watchers) watcher();
  }
}

class LandMap {
  constructor(canvas, viewport, onCell) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.onCell = onCell;
    const { rows, cols } = viewport.grid;
    this.image = element("canvas", { width: cols, height: rows });
    this.data = this.image.getContext("2d").createImageData(cols, rows);
    this.pixels = new Uint32Array(this.data.data.buffer);
    this.pointers = new Map();
    viewport.watchers.push(() => this.draw());
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
    this.#resize();
  }

  /** Paint cells: `colours` has a pixel for each possible value in `values`. */
  paint(values, colours) {
    for (let i = 0; i < values.length; i++) this.pixels[i] = colours[values[i]];
    this.image.getContext("2d").putImageData(this.data, 0, 0);
    this.draw();
  }

  /** Width of a cell in CSS pixels. */
  get scale() {
    const { grid, aspect, zoom } = this.viewport;
    const { clientWidth, clientHeight } = this.canvas;
    return Math.min(clientWidth / grid.cols, clientHeight / (grid.rows * aspect)) * zoom;
  }

  draw() {
    const { canvas, viewport } = this;
    const ratio = canvas.width / (canvas.clientWidth || 1);
    const sx = this.scale * ratio;
    const sy = sx * viewport.aspect;
    const context = canvas.getContext("2d");
    context.fillStyle = theme("sea");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = sx < 1; // enlarged cells stay sharp; thin lines of cells do not vanish in a reduced map
    context.imageSmoothingQuality = "high";
    const left = canvas.width / 2 - viewport.x * sx;
    const top = canvas.height / 2 - viewport.y * sy;
    context.drawImage(this.image, left, top, this.image.width * sx, this.image.height * sy);
    canvas.classList.toggle("zoomed", viewport.zoom > 1);
  }

  /** Row-major index of the cell at a position in CSS pixels; -1 outside of the map. */
  cellAt(px, py) {
    const { viewport, canvas, scale } = this;
    const col = Math.floor(viewport.x + (px - canvas.clientWidth / 2) / scale);
    const row = Math.floor(viewport.y + (py - canvas.clientHeight / 2) / (scale * viewport.aspect));
    const { rows, cols } = viewport.grid;
    return col >= 0 && col < cols && row >= 0 && row < rows ? row * cols + col : -1;
  }

  /** Zoom by a factor around a position in CSS pixels. */
  zoomAt(factor, px = this.canvas.clientWidth / 2, py = this.canvas.clientHeight / 2) {
    const { viewport, canvas } = this;
    const before = this.scale;
    const zoom = Math.min(Viewport.MOST, Math.max(1, viewport.zoom * factor));
    const after = (before * zoom) / viewport.zoom;
    const dx = px - canvas.clientWidth / 2;
    const dy = (py - canvas.clientHeight / 2) / viewport.aspect;
    viewport.move(viewport.x + dx / before - dx / after, viewport.y + dy / before - dy / after, zoom);
  }

  #resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    this.viewport.move(this.viewport.x, this.viewport.y);
  }

  #pan(dx, dy) {
    const { viewport, scale } = this;
    viewport.move(viewport.x - dx / scale, viewport.y - dy / (scale * viewport.aspect));
  }

  #listen() {
    const { canvas, pointers } = this;
    const place = (event) => [event.offsetX, event.offsetY];
    canvas.addEventListener("wheel", (event) => {
      // The wheel scrolls the page, unless the map is selected or this is a pinch gesture.
      if (!event.ctrlKey && document.activeElement !== canvas) return;
      event.preventDefault();
      this.zoomAt(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), ...place(event));
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => this.zoomAt(2, ...place(event)));
    canvas.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, place(event));
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = place(event);
      const before = pointers.get(event.pointerId);
      this.onCell(this.cellAt(...now));
      if (!before) return;
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) this.zoomAt(distance(now, other) / (distance(before, other) || 1), ...other);
      else this.#pan(now[0] - before[0], now[1] - before[1]);
      pointers.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const step = 60;
    const actions = {
      ArrowLeft: () => this.#pan(step, 0),
      ArrowRight: () => this.#pan(-step, 0),
      ArrowUp: () => this.#pan(0, step),
      ArrowDown: () => this.#pan(0, -step),
      "+": () => this.zoomAt(1.5),
      "=": () => this.zoomAt(1.5),
      "-": () => this.zoomAt(1 / 1.5),
      0: () => this.viewport.fit(),
    };
    const action = event.ctrlKey || event.metaKey || event.altKey ? null : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
    this.onCell(this.cellAt(this.canvas.clientWidth / 2, this.canvas.clientHeight / 2));
  }
}

const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

/** Draw a scale bar with a round length in kilometres. */
function drawScaleBar(node, map) {
  const perKm = map.scale / map.viewport.cellKm;
  const longest = 110 / perKm;
  const power = 10 ** Math.floor(Math.log10(longest));
  const length = [5, 2, 1].find((n) => n * power <= longest) * power;
  node.style.width = `${length * perKm}px`;
  node.firstElementChild.textContent = `${number(length)} km`;
}
