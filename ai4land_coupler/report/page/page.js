// The page shows one year, which the slider, the play button or a click on a chart selects.

const { years, classes, grid } = facts;
const last = years.length - 1;
const year = { index: 0, watchers: [] };

function setYear(index) {
  year.index = Math.min(last, Math.max(0, index));
  for (const watcher of year.watchers) watcher(year.index);
}

function start(history) {
  describe();
  const viewport = new Viewport(grid);
  const hidden = new Set();
  const charts = drawCharts();
  const legend = new LegendList(hidden);
  const frame = new Frame(history);
  const map = new LandMap(byId("map"), viewport, (cell) => showCell(byId("cell"), history, cell));
  const repaint = () => map.paint(frame.values, classColours(hidden));
  legend.onChange = repaint;
  year.watchers.push(
    (index) => { frame.seek(index); repaint(); },
    (index) => legend.setYear(index),
    (index) => charts.forEach((chart) => chart.setYear(index)),
    showYear,
  );
  viewport.watchers.push(() => drawScaleBar(byId("scale-bar"), map));
  const change = new ChangeView(history, viewport);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { repaint(); change.paint(); });
  byId("zoom-in").addEventListener("click", () => map.zoomAt(1.5));
  byId("zoom-out").addEventListener("click", () => map.zoomAt(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => viewport.fit());
  listenToYear();
  fillFacts();
  setYear(0);
  viewport.fit();
  document.body.dataset.ready = "yes";
}

function describe() {
  const span = last ? `${years[0]} to ${years[last]} in ${years.length} maps` : `${years[0]}`;
  const thinned = grid.thin > 1 ? `, 1 of ${grid.thin} rows and columns drawn` : "";
  const cellArea = grid.rowArea[grid.rows >> 1];
  const size = `${whole.format(grid.rows)} \u00d7 ${whole.format(grid.cols)} cells of about ${three.format(cellArea)} km\u00b2`;
  byId("lead").textContent = `${span} \u00b7 ${size}${thinned} \u00b7 ${facts.legend}`;
  byId("first-year").textContent = years[0];
  byId("last-year").textContent = years[last];
  byId("year").max = last;
  byId("year").disabled = byId("play").disabled = last === 0;
}

function showYear(index) {
  const text = String(years[index]);
  byId("big-year").textContent = text;
  byId("year").value = index;
  byId("year").setAttribute("aria-valuetext", text);
  for (const node of document.querySelectorAll(".year-text")) node.textContent = text;
}

function listenToYear() {
  const slider = byId("year");
  const play = byId("play");
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.setAttribute("aria-pressed", "false");
    byId("live").textContent = String(years[year.index]);
  };
  slider.addEventListener("input", () => { if (timer) stop(); setYear(Number(slider.value)); });
  slider.addEventListener("change", () => { byId("live").textContent = String(years[year.index]); });
  play.setAttribute("aria-pressed", "false");
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (year.index === last) setYear(0);
    play.setAttribute("aria-pressed", "true");
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    timer = setInterval(() => {
      setYear(year.index + 1);
      if (year.index === last) stop();
    }, calm ? 1500 : Math.max(120, Math.min(450, 9000 / years.length)));
  });
}

/** Pixels for the values of a map: sea, then the classes. Hidden classes have the colour of the background. */
function classColours(hidden) {
  const still = pixel(theme("still"));
  return Uint32Array.from([pixel(theme("sea")), ...classes.map((c, i) => (hidden.has(i) ? still : pixel(c.colour)))]);
}

/** Position of a cell, its class, and its classes in all years. */
function showCell(node, history, cell) {
  const held = cell < 0 ? [0] : history.ofCell(cell);
  if (!held.some(Boolean)) return;
  const along = ([a, b], n, i) => a + ((b - a) * i) / Math.max(1, n - 1);
  const lat = along(grid.lat, grid.rows, Math.floor(cell / grid.cols));
  const lon = ((along(grid.lon, grid.cols, cell % grid.cols) + 540) % 360) - 180;
  const ribbon = shape("svg", { class: "ribbon", viewBox: `0 0 ${held.length} 1`, preserveAspectRatio: "none",
    "aria-hidden": "true" });
  const story = [];
  for (let i = 0, from = 0; i < held.length; i = from) {
    while (from < held.length && held[from] === held[i]) from++;
    const item = classes[held[i] - 1];
    ribbon.append(shape("rect", { x: i, width: from - i, height: 1, fill: item?.colour ?? "none" }));
    story.push(i ? `${item?.name ?? "outside"} from ${years[i]}` : (item?.name ?? "outside"));
  }
  const told = story.length > 6 ? [...story.slice(0, 5), `and ${story.length - 5} more changes`] : story;
  const place = `${Math.abs(lat).toFixed(2)}\u00b0${lat < 0 ? "S" : "N"} ${Math.abs(lon).toFixed(2)}\u00b0${lon < 0 ? "W" : "E"}`;
  node.replaceChildren(element("b", {}, place), ` ${told.join(", ")}`, ribbon);
}

/** The classes with their areas. A click hides a class or shows it again. */
class LegendList {
  constructor(hidden) {
    this.onChange = () => {};
    const most = Math.max(...facts.area.flat());
    this.rows = classes.map((item, i) => {
      const amount = element("span", { class: "area" });
      const delta = element("span", { class: "delta" });
      const bar = element("span", { class: "fill" });
      bar.style.background = item.colour;
      const button = element("button", { type: "button", "aria-pressed": "true" },
        swatch(item.colour), element("span", { class: "name" }, item.name), amount,
        element("span", { class: "bar" }, element("span", { class: "track" }, bar), delta));
      button.addEventListener("click", () => {
        if (!hidden.delete(i)) hidden.add(i);
        this.#show(hidden);
      });
      byId("legend").append(element("li", {}, button));
      return { button, amount, delta, bar, most };
    });
    byId("show-all").addEventListener("click", () => {
      hidden.clear();
      this.#show(hidden);
      this.rows[0].button.focus();
    });
  }

  #show(hidden) {
    this.rows.forEach(({ button }, i) => button.setAttribute("aria-pressed", String(!hidden.has(i))));
    byId("show-all").hidden = hidden.size === 0;
    this.onChange();
  }

  setYear(index) {
    this.rows.forEach(({ amount, delta, bar, most }, i) => {
      const now = facts.area[index][i];
      amount.textContent = area(now);
      delta.textContent = index ? `${signed(now - facts.area[0][i])} since ${years[0]}` : "";
      bar.style.width = `${(100 * now) / (most || 1)}%`;
    });
  }
}

try {
  if (!("DecompressionStream" in window)) throw new Error("this browser is too old: it has no DecompressionStream");
  start(await History.load());
} catch (error) {
  byId("failure").hidden = false;
  byId("failure").textContent = `The page could not be drawn: ${error.message}`;
  throw error;
}
