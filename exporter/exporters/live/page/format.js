// Numbers for people. Times are seconds.

const NONE = "–";
const formats = ["maximumFractionDigits", "maximumSignificantDigits"].map((kind) => new Intl.NumberFormat("en", { [kind]: 3 }));
const two = (value) => String(value).padStart(2, "0");

export const number = (value) => formats[0].format(value);
export const short = (value) => formats[1].format(value);
export const count = (value) => (value == null ? NONE : number(Math.round(value)));
export const share = (value) => (value == null ? NONE : `${short(value * 100)} %`);
export const money = (value) => (value == null ? NONE : `$${value.toFixed(value < 0.1 ? 4 : 2)}`);

/** A length: 340 ms, 1.24 s, 4:05. */
export function time(seconds) {
  if (seconds == null) return NONE;
  if (Math.abs(seconds) < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 99.995 ? `${seconds.toFixed(2)} s` : age(seconds);
}

/** An age: 0:07, 4:05, 1:02:09. */
export function age(seconds) {
  const all = Math.max(0, Math.floor(seconds)), hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

/** How long ago: 12 s ago, 4 min ago. */
export function ago(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 90) return `${Math.floor(seconds)} s ago`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

/** Unix seconds as the time of day where the reader is. */
export const timeOfDay = (unix) => new Date(unix * 1000).toLocaleTimeString("en-GB");

export const bytes = (value) => (value < 1 << 20 ? `${short(value / 1024)} KiB` : `${short(value / (1 << 20))} MiB`);
