// A table of calls that is sorted and read by keyboard. A row is drawn again when its call is another object.

import { h, put, say } from "./dom.js";

export class CallTable {
  /**
   * A column has `key`, `title`, `draw(cell, call, env)`, perhaps `class`, `value(call)` to sort by (first `ascending`?), and `clock`: it
   * is drawn as time goes on. `empty` is said when there is no row.
   */
  constructor(root, env, { columns, sort, caption, empty, limit = 200 }) {
    Object.assign(this, { env, columns, empty, limit, rows: new Map(), calls: [], key: sort, descending: true });
    const focusin = ({ target }) => this.#activate(target.closest("tr").dataset.id);
    const pointermove = () => (this.held = performance.now() + 1500);
    this.body = h("tbody", { role: "rowgroup", on: { keydown: (event) => this.#keys(event), focusin, pointermove } });
    this.heads = columns.map((column) => {
      const title = column.value ? h("button", { type: "button", on: { click: () => this.#sort(column) } }, column.title) : column.title;
      return h("th", { role: "columnheader", class: column.class }, title);
    });
    this.watch = new IntersectionObserver((found) => {
      for (const { target, isIntersecting } of found) this.#seen(this.rows.get(target.dataset.id), isIntersecting);
    });
    this.note = h("p.soft.note", { role: "status" });
    this.more = h("button", { type: "button", hidden: true, on: { click: () => this.#all() } });
    const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, this.heads));
    root.append(h("div.scroll", h("table.calls", { role: "table", "aria-label": caption }, head, this.body)), this.note, this.more);
  }

  /** Show these calls. */
  show(calls) {
    this.calls = calls;
    const sorted = this.#sorted(), shown = sorted.slice(0, this.limit), ids = new Set(shown.map(({ id }) => id));
    for (const [id, row] of this.rows) if (!ids.has(id)) this.#remove(id, row);
    let next = this.body.firstElementChild;
    for (const call of shown) {
      const row = this.#row(call);
      if (row.line === next) next = next.nextElementSibling;
      else if (!this.held) this.#place(row, next);
      else if (!row.line.parentNode) this.body.append(row.line); // nothing moves away from a pointer that is about to click
    }
    this.more.hidden = sorted.length === shown.length;
    say(this.more, `Show ${sorted.length - shown.length} more`);
    say(this.note, sorted.length ? "" : this.empty);
    if (!this.rows.has(this.active)) this.#activate(shown[0]?.id);
    const way = this.descending ? "descending" : "ascending";
    this.columns.forEach(({ key }, index) => put(this.heads[index], "aria-sort", key === this.key ? way : null));
  }

  /** Time has gone on. */
  tick() {
    if (this.held && this.held < performance.now()) {
      this.held = 0;
      this.show(this.calls);
    }
    const clocks = this.columns.flatMap((column, index) => (column.clock ? [[column, index]] : []));
    for (const { call, cells, visible } of this.rows.values())
      if (visible) for (const [column, index] of clocks) column.draw(cells[index], call, this.env);
  }

  #sorted() {
    const { value } = this.columns.find(({ key }) => key === this.key), way = this.descending ? -1 : 1;
    const keyed = this.calls.map((call) => [value(call), call]);
    keyed.sort(([a, one], [b, other]) => way * order(a, b) || other.started_at - one.started_at || order(one.id, other.id));
    return keyed.map(([, call]) => call);
  }

  #row(call) {
    let row = this.rows.get(call.id);
    if (!row) {
      const cells = this.columns.map((column) => h("td", { role: "cell", class: column.class, "data-title": column.title }));
      const line = h("tr", { role: "row", "data-id": call.id }, cells);
      this.rows.set(call.id, (row = { cells, line }));
      this.watch.observe(line);
    }
    if (!row.call || (row.visible && row.call !== call)) this.#draw(row, call);
    row.call = call;
    return row;
  }

  // Rows that nobody sees are not drawn: there can be hundreds.
  #seen(row, visible) {
    if (!row) return;
    row.visible = visible;
    if (visible) this.#draw(row, row.call);
  }

  #draw(row, call) {
    this.columns.forEach((column, index) => column.draw(row.cells[index], call, this.env));
    put(this.#link(row), "tabindex", call.id === this.active ? 0 : -1);
  }

  // The row that has the focus keeps it when it moves or goes.
  #place(row, next) {
    const had = row.line.contains(document.activeElement);
    this.body.insertBefore(row.line, next);
    if (had) this.#link(row).focus();
  }

  #remove(id, { line }) {
    const had = line.contains(document.activeElement), next = line.nextElementSibling ?? line.previousElementSibling;
    line.remove();
    this.watch.unobserve(line);
    this.rows.delete(id);
    if (had && next) this.#focus(next);
  }

  #link = ({ cells }) => cells[0].querySelector("a");

  #focus = (line) => this.#link(this.rows.get(line.dataset.id)).focus();

  // Tab reaches one row, arrows the others.
  #activate(id) {
    const [before, row] = [this.rows.get(this.active), this.rows.get(id)];
    if (before) put(this.#link(before), "tabindex", -1);
    if (row) put(this.#link(row), "tabindex", 0);
    this.active = id;
  }

  #keys(event) {
    const lines = [...this.body.children], at = lines.indexOf(event.target.closest("tr"));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: lines.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#focus(lines[Math.min(Math.max(to, 0), lines.length - 1)]);
  }

  #sort(column) {
    this.descending = this.key === column.key ? !this.descending : !column.ascending;
    this.key = column.key;
    this.held = 0;
    this.show(this.calls);
  }

  #all() {
    this.limit = Infinity;
    this.show(this.calls);
  }
}

/** Nothing is less than everything. */
function order(a, b) {
  if (a == null || b == null) return (a != null) - (b != null);
  return a < b ? -1 : a > b ? 1 : 0;
}
