// Colours of the theme and patterns on a canvas.

let tokens = new Map();
let patterns = new Map();

/** A colour of the stylesheet, such as `--cpu`. */
export function token(name) {
  if (!tokens.has(name)) tokens.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return tokens.get(name);
}

/** Forget the colours: the theme has changed. */
export function repaint() {
  tokens = new Map();
  patterns = new Map();
}

/** Diagonal lines on nothing. */
export function hatch(ctx, colour, gap = 7, width = 1.4) {
  const ratio = window.devicePixelRatio || 1;
  const key = `${colour}/${gap}/${width}/${ratio}`;
  if (!patterns.has(key)) {
    const size = Math.round(gap * ratio);
    const tile = new OffscreenCanvas(size, size);
    const pen = tile.getContext("2d");
    pen.strokeStyle = colour;
    pen.lineWidth = width * ratio;
    pen.beginPath();
    for (const shift of [-size, 0, size]) {
      pen.moveTo(shift, size);
      pen.lineTo(shift + size, 0);
    }
    pen.stroke();
    patterns.set(key, ctx.createPattern(tile, "repeat"));
  }
  return patterns.get(key);
}

/** Black or white, whichever reads better on a colour `#rrggbb`. */
export function inkOn(colour) {
  const channel = (at) => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  return luminance > 0.18 ? "#000000" : "#ffffff";
}
