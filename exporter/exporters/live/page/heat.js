// The waits as a heat map: a column a slice of time, a row a range of waits.

import { say } from "./dom.js";
import { count, time, timeOfDay } from "./format.js";

const LEFT = 44, BOTTOM = 20, TOP = 6;

export class HeatMap {
  /** `note` tells in words what is below the pointer or the keyboard's cursor. */
  constructor(canvas, note) {
    [this.canvas, this.note, this.data, this.cursor] = [canvas, note, null, null];
    const on = (name, act) => canvas.addEventListener(name, act);
    on("pointermove", (event) => this.#point(event));
    on("pointerleave", () => this.#move(null));
    on("blur", () => this.#move(null));
    on("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Show the API's heat map, with a line at the `objective`. */
  show(data, objective) {
    [this.data, this.objective] = [data, objective];
    const all = data.columns.flat().reduce((sum, found) => sum + found, 0), minutes = Math.round((data.columns.length * data.step) / 60);
    this.canvas.setAttribute("aria-label", `Waits of the last ${minutes} minutes: ${count(all)} turns. Arrow keys read single cells.`);
    this.#draw();
  }

  #draw() {
    const { canvas, data } = this, scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!data || !width) return;
    const { columns, bounds, start, step } = data, rows = bounds.length + 1;
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    const pen = canvas.getContext("2d"), style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name).trim();
    pen.scale(scale, scale);
    const [wide, high] = (this.cell = [(width - LEFT) / columns.length, (height - BOTTOM - TOP) / rows]);
    const most = Math.max(1, ...columns.flat()), y = (row) => TOP + (rows - row) * high;
    columns.forEach((column, x) =>
      column.forEach((found, row) => {
        if (!found) return;
        pen.fillStyle = `rgb(${colour("--heat")} / ${0.18 + 0.82 * Math.sqrt(found / most)})`;
        pen.fillRect(LEFT + x * wide, y(row + 1), Math.max(1, wide - 0.5), Math.max(1, high - 0.5));
      }),
    );
    pen.font = `11px ${style.fontFamily}`;
    pen.fillStyle = colour("--soft");
    pen.textAlign = "right";
    let last = Infinity;
    bounds.forEach((bound, row) => {
      if (last - y(row + 1) < 14) return;
      pen.fillText(`${bound} s`, LEFT - 6, (last = y(row + 1)) + 4);
    });
    pen.fillText(timeOfDay(start + columns.length * step), width, height - 5);
    pen.textAlign = "left";
    pen.fillText(timeOfDay(start), LEFT, height - 5);
    const line = bounds.indexOf(this.objective);
    pen.fillStyle = colour("--bad-back");
    for (let x = LEFT; line >= 0 && x < width; x += 7) pen.fillRect(x, y(line + 1) - 0.5, 4, 1.5);
    pen.strokeStyle = colour("--ink");
    if (this.cursor) pen.strokeRect(LEFT + this.cursor[0] * wide, y(this.cursor[1] + 1), wide, high);
  }

  #point(event) {
    if (!this.cell) return;
    this.#move([Math.floor((event.offsetX - LEFT) / this.cell[0]), this.data.bounds.length - Math.floor((event.offsetY - TOP) / this.cell[1])]);
  }

  #key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step || !this.data) return;
    event.preventDefault();
    const [x, y] = this.cursor ?? [this.data.columns.length, 0], within = (at, most) => Math.min(Math.max(at, 0), most);
    this.#move([within(x + step[0], this.data.columns.length - 1), within(y + step[1], this.data.bounds.length)]);
  }

  #move(cursor) {
    if (cursor ? this.data?.columns[cursor[0]]?.[cursor[1]] === undefined : !this.cursor) return;
    this.cursor = cursor;
    say(this.note, cursor ? this.#words(...cursor) : "");
    this.#draw();
  }

  #words(x, y) {
    const { columns, bounds, step, start } = this.data, low = y ? time(bounds[y - 1]) : "0 s";
    return `${timeOfDay(start + x * step)}: ${count(columns[x][y])} turns waited ${y < bounds.length ? `${low} to ${time(bounds[y])}` : `over ${low}`}`;
  }
}
