// What the exporter has told so far on a stream. Messages replace whole parts: what is still the same object has not changed.

export class Told {
  /** `list` names the part that is a map here, since its items come one by one; `key` is what identifies an item. */
  constructor(list, key) {
    Object.assign(this, { list, key, [list]: new Map() });
  }

  /** Everything. */
  state(message) {
    this[this.list] = new Map();
    this.change(message);
  }

  /** What differs. */
  change(message) {
    for (const [name, part] of Object.entries(message)) {
      if (name === this.list) for (const item of part) this[name].set(item[this.key], item);
      else if (name === "gone") for (const key of part) this[this.list].delete(key);
      else if (part !== null) this[name] = part;
    }
  }
}
