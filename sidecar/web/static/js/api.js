// The sidecar's HTTP API, and nothing else: no request leaves this origin.

export class ApiError extends Error {}

const PATIENCE_MS = 60000;

/** GET a JSON answer; parameters that are null or empty are left out. Throws AbortError when `signal` says so. */
export async function get(path, parameters = {}, signal = null) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  let answer;
  try {
    // Relative: behind the site the page stands below a path.
    answer = await fetch(`api/v1/${path}${text ? `?${text}` : ""}`, {
      headers: { Accept: "application/json" },
      signal: AbortSignal.any([AbortSignal.timeout(PATIENCE_MS), ...(signal ? [signal] : [])]),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("The sidecar does not answer", { cause: error });
  }
  const body = await answer.json().catch(() => null);
  signal?.throwIfAborted();
  if (!answer.ok || body === null) {
    const failure = new ApiError(body?.detail ?? `The sidecar answers ${answer.status}`);
    failure.status = answer.status;
    throw failure;
  }
  return body;
}

/** All rows of a paged list, up to `most`; `more` says whether some were left. */
export async function all(path, parameters, most, signal = null) {
  const rows = [];
  let cursor = null;
  let suppressed = 0;
  let open = [];
  do {
    const page = await get(path, { ...parameters, limit: Math.min(1000, most), cursor }, signal);
    rows.push(...page.rows);
    suppressed += page.suppressed ?? 0;
    open = page.open ?? [];
    cursor = page.next_cursor ?? null;
  } while (cursor !== null && rows.length < most);
  return { rows, more: cursor !== null, suppressed, open };
}
