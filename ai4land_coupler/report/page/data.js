// The data of the page: facts as JSON, and maps as changes from year to year.

const facts = JSON.parse(document.getElementById("facts").textContent);

async function unpack(name) {
  const text = atob(document.getElementById(`packed-${name}`).textContent.trim());
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The maps of all years. The value of a cell is 0 outside of the land and 1 + class on land. */
class History {
  static async load() {
    const [first, gaps, classes] = await Promise.all(["first", "gaps", "classes"].map(unpack));
    return new History(first, gaps, classes, facts.steps);
  }

  constructor(first, gaps, classes, counts) {
    this.first = first;
    this.steps = [];
    const now = first.slice();
    let place = 0;
    let read = 0;
    for (const count of counts) {
      const step = { cells: new Uint32Array(count), before: new Uint8Array(count), after: null };
      step.after = classes.subarray(read, read + count);
      let cell = 0;
      for (let i = 0; i < count; i++) {
        let gap = 0;
        let factor = 1;
        let byte;
        do { // base 128, lowest digits first
          byte = gaps[place++];
          gap += (byte & 127) * factor;
          factor *= 128;
        } while (byte & 128);
        cell += gap;
        step.cells[i] = cell;
        step.before[i] = now[cell];
        now[cell] = step.after[i];
      }
      read += count;
      this.steps.push(step);
    }
  }

  /** The value of a cell in each year. */
  ofCell(cell) {
    const held = [this.first[cell]];
    for (const { cells, after } of this.steps) {
      let low = 0;
      let high = cells.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (cells[middle] < cell) low = middle + 1;
        else high = middle;
      }
      held.push(cells[low] === cell ? after[low] : held[held.length - 1]);
    }
    return held;
  }
}

/** The map of one year. Applies the changed cells to go to another year. */
class Frame {
  constructor(history) {
    this.history = history;
    this.values = history.first.slice();
    this.index = 0;
  }

  seek(index) {
    const { steps } = this.history;
    for (; this.index < index; this.index++) this.#put(steps[this.index].cells, steps[this.index].after);
    for (; this.index > index; this.index--) this.#put(steps[this.index - 1].cells, steps[this.index - 1].before);
    return this.values;
  }

  #put(cells, values) {
    for (let i = 0; i < cells.length; i++) this.values[cells[i]] = values[i];
  }
}

/** Areas (km2) that changed from one class to another between two maps: [from][to]. */
function transitions(before, after, classes, { cols, rowArea }) {
  const areas = Array.from({ length: classes }, () => new Float64Array(classes));
  for (let cell = 0; cell < before.length; cell++) {
    if (before[cell] && after[cell]) areas[before[cell] - 1][after[cell] - 1] += rowArea[(cell / cols) | 0];
  }
  return areas;
}
