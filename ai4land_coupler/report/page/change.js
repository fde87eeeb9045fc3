// Changes between two years: a map of the new classes, and the transition matrix.

class ChangeView {
  constructor(history, viewport) {
    const { years } = facts;
    this.frames = [new Frame(history), new Frame(history)];
    this.only = null; // selected [from, to] of the matrix; null: all
    this.selects = ["from-year", "to-year"].map((id, side) => {
      const select = byId(id);
      years.forEach((year, i) => select.append(element("option", { value: i }, String(year))));
      select.value = side ? years.length - 1 : 0;
      select.addEventListener("change", () => this.update());
      return select;
    });
    this.values = new Uint8Array(history.first.length);
    this.map = new LandMap(byId("change-map"), viewport, (cell) => showCell(byId("change-cell"), history, cell));
    byId("matrix").addEventListener("keydown", (event) => this.#walk(event));
    this.update();
  }

  update() {
    const { classes, grid } = facts;
    const [from, to] = this.selects.map((select) => Number(select.value));
    this.before = this.frames[0].seek(from);
    this.after = this.frames[1].seek(to);
    this.areas = transitions(this.before, this.after, classes.length, grid);
    this.only = null;
    this.#fillMatrix();
    this.#tell(from, to);
    this.paint();
  }

  /** Draw changed cells in the colour of their new class, and all other land pale. */
  paint() {
    const { before, after, values, only } = this;
    const still = facts.classes.length + 1;
    for (let i = 0; i < values.length; i++) {
      const moved = before[i] !== after[i] && (!only || (before[i] === only[0] + 1 && after[i] === only[1] + 1));
      values[i] = after[i] === 0 ? 0 : moved ? after[i] : still;
    }
    this.map.paint(values, Uint32Array.from([...classColours(new Set()), pixel(theme("still"))]));
  }

  #tell(from, to) {
    const all = this.areas.flatMap((row) => [...row]).reduce((a, b) => a + b, 0);
    const kept = this.areas.reduce((sum, row, i) => sum + row[i], 0);
    const share = all ? three.format((100 * (all - kept)) / all) : "0";
    byId("change-sum").replaceChildren(
      element("b", {}, area(all - kept)), `, ${share} % of the area, differ between ${facts.years[from]} and ${facts.years[to]}`);
  }

  #fillMatrix() {
    const { classes } = facts;
    const { areas } = this;
    const moved = (i, j) => (i === j ? 0 : areas[i][j]);
    const most = Math.max(...classes.flatMap((_, i) => classes.map((__, j) => moved(i, j))));
    const sum = (pick) => classes.reduce((total, _, k) => total + pick(k), 0);
    const head = element("tr", {}, element("th", { scope: "col" }, "from \u2193 to \u2192"),
      ...classes.map((item) => element("th", { scope: "col" }, swatch(item.colour), item.name)),
      element("th", { scope: "col" }, "lost"));
    const rows = classes.map((item, i) => element("tr", {},
      element("th", { scope: "row" }, swatch(item.colour), item.name),
      ...classes.map((other, j) => this.#cell(item, i, other, j, most)),
      element("td", { class: "total" }, number(sum((j) => moved(i, j))))));
    const foot = element("tr", {}, element("th", { scope: "row" }, "gained"),
      ...classes.map((_, j) => element("td", {}, number(sum((i) => moved(i, j))))), element("td"));
    byId("matrix").replaceChildren(
      element("thead", {}, head), element("tbody", {}, ...rows), element("tfoot", {}, foot));
    byId("matrix").querySelector("button")?.setAttribute("tabindex", "0");
  }

  #cell(item, i, other, j, most) {
    const value = this.areas[i][j];
    if (i === j || value === 0) return element("td", {}, element("span", {}, value ? number(value) : "\u00b7"));
    const button = element("button", {
      type: "button", tabindex: "-1", "aria-pressed": "false", "data-row": i, "data-col": j,
      "aria-label": `${item.name} to ${other.name}: ${area(value)}`,
    }, number(value));
    button.style.background = `rgba(var(--shade), ${(0.05 + 0.45 * Math.sqrt(value / most)).toFixed(3)})`;
    button.addEventListener("click", () => {
      const chosen = button.getAttribute("aria-pressed") === "true";
      this.only = chosen ? null : [i, j];
      for (const node of byId("matrix").querySelectorAll("button")) node.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(!chosen));
      this.#focus(button);
      this.paint();
    });
    return element("td", {}, button);
  }

  /** The tab key reaches the whole matrix once; the arrow keys move through its numbers. */
  #walk(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    const at = event.target.closest("button");
    if (!step || !at) return;
    event.preventDefault();
    let row = Number(at.dataset.row);
    let col = Number(at.dataset.col);
    for (let found = null; !found;) {
      row += step[0];
      col += step[1];
      if (row < 0 || col < 0 || row >= facts.classes.length || col >= facts.classes.length) return;
      found = byId("matrix").querySelector(`button[data-row="${row}"][data-col="${col}"]`);
      if (found) this.#focus(found);
    }
  }

  #focus(button) {
    for (const node of byId("matrix").querySelectorAll("button")) node.setAttribute("tabindex", "-1");
    button.setAttribute("tabindex", "0");
    button.focus();
  }
}
