// Elements without markup: every text becomes a text node, so nothing from the wire is ever read as HTML.

export const $ = (id) => document.getElementById(id);

const made = (create) => (what, ...rest) => {
  const [tag, ...classes] = what.split("."), attributes = rest[0]?.constructor === Object ? rest.shift() : {};
  const { class: more, on = {}, ...others } = attributes, element = create(tag), name = [...classes, more].filter(Boolean).join(" ");
  if (name) element.setAttribute("class", name);
  for (const [event, act] of Object.entries(on)) element.addEventListener(event, act);
  for (const [key, value] of Object.entries(others)) if (value != null && value !== false) element.setAttribute(key, value === true ? "" : value);
  return fill(element, rest);
};

/** `h("td.number", { attributes, on: listeners }, ...children)`: nodes, texts, lists of them; null and false are left out. */
export const h = made((tag) => document.createElement(tag));

/** The same for SVG. */
export const s = made((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));

/** Replace the children of a node. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(9).filter((child) => child != null && child !== false));
  return node;
}

/** Set the text of a node if it changed: an equal text costs no layout. */
export function say(node, text) {
  if (node.said !== text) node.textContent = node.said = text;
}

/** Set or remove a class, if that changes anything. */
export function mark(node, name, on) {
  if (node.classList.contains(name) !== !!on) node.classList.toggle(name);
}

/** Set an attribute if it changed; null removes it. */
export function put(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** A text from the wire, apart from what stands around it: its direction is its own. */
export const wire = (text, attributes = {}) => h("bdi.wire", attributes, String(text));
