// Charts over the years, as SVG. They are drawn again when their width changes.

const EDGE = { left: 54, right: 18, top: 8, bottom: 22 };

/**
 * A chart in a figure. `spec`: title, label (for readers of the screen), height, zero (show the zero line), names
 * (write them at the ends of lines), value (text of a year's index), and of these what it is to show:
 * lines [{name, colour, values}], bands [{colour, low, high}], dashes [{values}], bars [{colour, values}] (stacked).
 */
class Chart {
  constructor(figure, spec, onYear) {
    this.figure = figure;
    this.spec = spec;
    this.value = element("span", { class: "value" });
    figure.append(element("figcaption", {}, element("span", {}, spec.title), this.value));
    this.svg = shape("svg", { class: "chart", role: "img", "aria-label": spec.label });
    figure.append(this.svg);
    this.index = 0;
    const choose = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      onYear(this.#nearest(event.clientX - this.svg.getBoundingClientRect().left));
    };
    this.svg.addEventListener("pointerdown", choose);
    this.svg.addEventListener("pointermove", choose);
    new ResizeObserver(() => this.draw()).observe(figure);
    this.draw();
  }

  draw() {
    const { spec, svg } = this;
    const width = Math.max(160, svg.clientWidth || 300);
    const height = spec.height ?? 180;
    this.edge = { ...EDGE, right: spec.names ? 104 : EDGE.right };
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.replaceChildren();
    const [low, high] = this.#range();
    const years = facts.years;
    const first = years[0];
    const span = years[years.length - 1] - first || 1;
    const inset = spec.bars ? this.#barWidth(width) / 2 : 0;
    const room = width - this.edge.left - this.edge.right - 2 * inset;
    this.x = (i) => this.edge.left + inset + ((years[i] - first) / span) * room;
    const y = (v) => this.edge.top + (1 - (v - low) / (high - low)) * (height - this.edge.top - this.edge.bottom);
    const right = width - this.edge.right;
    for (const tick of ticks(low, high, height > 150 ? 5 : 4)) {
      svg.append(shape("line", { class: "grid", x1: this.edge.left, x2: right, y1: y(tick), y2: y(tick) }));
      svg.append(shape("text", { x: this.edge.left - 6, y: y(tick) + 4, "text-anchor": "end" }, number(tick)));
    }
    const labels = room > 420 ? ticks(first, first + span, Math.floor(room / 70)) : [first, years[years.length - 1]];
    for (const year of labels.filter(Number.isInteger)) {
      const x = this.edge.left + inset + ((year - first) / span) * room;
      svg.append(shape("text", { x, y: height - 5, "text-anchor": "middle" }, String(year)));
    }
    if (low < 0 && high > 0) {
      svg.append(shape("line", { class: "axis", x1: this.edge.left, x2: right, y1: y(0), y2: y(0) }));
    }
    this.#bars(width, y);
    for (const { colour, low: under, high: over } of spec.bands ?? []) {
      const there = under.map((_, i) => `${this.x(i)},${y(over[i])}`);
      const back = under.map((_, i) => `${this.x(i)},${y(under[i])}`).reverse();
      svg.append(shape("polygon", { class: "band", fill: colour, points: [...there, ...back].join(" ") }));
    }
    const path = (values) => values.flatMap((v, i) => (v === null ? [] : `${this.x(i)},${y(v)}`)).join(" ");
    for (const { colour, values } of spec.lines ?? []) {
      svg.append(shape("polyline", { class: "halo", points: path(values) }));
      svg.append(shape("polyline", { class: "line", stroke: colour, points: path(values) }));
    }
    for (const { values } of spec.dashes ?? []) {
      svg.append(shape("polyline", { class: "demand", points: path(values) }));
    }
    if (spec.names) this.#names(right, y, height);
    this.cursor = shape("line", { class: "cursor", y1: this.edge.top, y2: height - this.edge.bottom });
    svg.append(this.cursor);
    this.setYear(this.index);
  }

  setYear(index) {
    this.index = index;
    this.cursor.setAttribute("x1", this.x(index));
    this.cursor.setAttribute("x2", this.x(index));
    this.value.textContent = this.spec.value?.(index) ?? "";
  }

  #range() {
    const { lines = [], bands = [], dashes = [], bars = [], zero } = this.spec;
    const stacked = facts.years.map((_, i) => bars.reduce((sum, bar) => sum + bar.values[i], 0));
    const all = [...lines, ...dashes].flatMap((s) => s.values).concat(bands.flatMap((b) => [...b.low, ...b.high]));
    if (bars.length) all.push(...stacked);
    if (zero) all.push(0);
    const held = all.filter((value) => value !== null);
    const low = Math.min(...held);
    const high = Math.max(...held);
    const margin = (high - low) * 0.06 || Math.abs(high) * 0.02 || 1;
    return [zero && low >= 0 ? 0 : low - margin, zero && high <= 0 && low < 0 ? 0 : high + margin];
  }

  #barWidth(width) {
    const room = width - this.edge.left - this.edge.right;
    return Math.max(1, (room / facts.years.length) * 0.78);
  }

  #bars(width, y) {
    const wide = this.#barWidth(width);
    const base = facts.years.map(() => 0);
    for (const { colour, values } of this.spec.bars ?? []) {
      values.forEach((value, i) => {
        if (!value) return;
        const top = y(base[i] + value);
        const height = y(base[i]) - top;
        this.svg.append(shape("rect", { x: this.x(i) - wide / 2, y: top, width: wide, height, fill: colour }));
        base[i] += value;
      });
    }
  }

  /** Names at the ends of lines, moved apart if they would overlap. */
  #names(right, y, height) {
    const last = facts.years.length - 1;
    const placed = this.spec.lines.map((line) => ({ ...line, at: y(line.values[last]) }));
    placed.sort((a, b) => a.at - b.at);
    const gap = 14;
    placed.forEach((item, i) => { item.at = Math.max(item.at, i ? placed[i - 1].at + gap : this.edge.top + 4); });
    const over = placed.length ? placed[placed.length - 1].at - (height - this.edge.bottom) : 0;
    for (let i = placed.length - 1, limit = height - this.edge.bottom; over > 0 && i >= 0; i--, limit -= gap) {
      placed[i].at = Math.min(placed[i].at, limit);
    }
    for (const { name, colour, at } of placed) {
      this.svg.append(shape("circle", { cx: right + 10, cy: at, r: 4, fill: colour }));
      this.svg.append(shape("text", { class: "name", x: right + 18, y: at + 4 }, name));
    }
  }

  #nearest(x) {
    let best = 0;
    facts.years.forEach((_, i) => { if (Math.abs(this.x(i) - x) < Math.abs(this.x(best) - x)) best = i; });
    return best;
  }
}
