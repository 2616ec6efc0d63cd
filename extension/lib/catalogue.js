// The catalogue (the one list of actions) as the page side needs it: names and DOM rules, with a site's overrides. Pure.

/** `{version, actions: [{name, dom}]}`; an override's `dom` replaces the action's, null switches it off; unknown names are faults. */
export function rulesFor(catalogue, overrides) {
  const unknown = Object.keys(overrides).filter((name) => !catalogue.actions.some((action) => action.name === name));
  const actions = catalogue.actions
    .filter((action) => overrides[action.name] !== null && (overrides[action.name]?.dom ?? action.dom))
    .map((action) => ({ name: action.name, dom: overrides[action.name]?.dom ?? action.dom }));
  return { rules: { version: catalogue.version, actions }, unknown };
}

export const namesOf = (catalogue) => new Set(catalogue.actions.map((action) => action.name));
