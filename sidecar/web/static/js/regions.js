// Which actions are open when. Pure; times are milliseconds.

/**
 * Cut [from, to] where an action begins or ends: stretches with the names of the actions open in them, in the given order.
 * Several actions of one name count once, so overlapping sessions do not pile up into mud. `begins` are the names that were
 * not open just before.
 */
export function segments(actions, from, to, order) {
  const edges = [];
  for (const action of actions) {
    if (action.end <= from || action.start >= to) continue;
    edges.push([Math.max(action.start, from), 1, action.name], [Math.min(action.end, to), -1, action.name]);
  }
  edges.sort((a, b) => a[0] - b[0]);
  const open = new Map();
  const found = [];
  let at = from;
  for (const [time, step, name] of edges) {
    if (time > at) {
      const names = order.filter((one) => open.get(one) > 0);
      const last = found.at(-1);
      if (names.length) {
        if (last && last.to === at && last.names.join() === names.join()) last.to = time;
        else found.push({ from: at, to: time, names, begins: last?.to === at ? names.filter((one) => !last.names.includes(one)) : names });
      }
      at = time;
    }
    open.set(name, (open.get(name) ?? 0) + step);
  }
  return found;
}

/** The actions open at an instant; `slack` lets very short ones be found. */
export function openAt(actions, time, slack = 0) {
  return actions.filter((action) => action.start - slack <= time && time <= action.end + slack);
}

/** Actions of a lane into rows without overlap, at most `most`; what fits nowhere goes to the last row. */
export function rows(actions, most) {
  const ends = [];
  return actions.map((action) => {
    let row = ends.findIndex((end) => end <= action.start);
    if (row < 0) row = Math.min(ends.length, most - 1);
    ends[row] = Math.max(ends[row] ?? 0, action.end);
    return { action, row };
  });
}

/**
 * Stretches narrower than `least` are gathered into columns of that width, so that a long range shows how busy it was instead of
 * many layers of paint: {wide: [stretches], columns: [{from, to, share, names: [[name, share of the height]]}]}.
 */
export function gather(stretches, least) {
  const wide = [];
  const bins = new Map();
  for (const one of stretches) {
    if (one.to - one.from >= least) {
      wide.push(one);
      continue;
    }
    const at = Math.floor(one.from / least);
    if (!bins.has(at)) bins.set(at, new Map());
    const bin = bins.get(at);
    for (const name of one.names) bin.set(name, (bin.get(name) ?? 0) + (one.to - one.from) / one.names.length);
  }
  const columns = [...bins].map(([at, bin]) => {
    const open = [...bin.values()].reduce((sum, time) => sum + time, 0);
    return {
      from: at * least,
      to: (at + 1) * least,
      share: Math.min(1, open / least),
      names: [...bin].map(([name, time]) => [name, time / open]),
    };
  });
  return { wide, columns };
}
