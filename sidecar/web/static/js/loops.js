// Doing something again and again, but only while somebody looks.

/**
 * Run `work` again and again, `pause()` milliseconds after it ended; while the page is hidden it rests. Returns a function that
 * runs it at once, or once more if it is running: never twice at the same time.
 */
export function every(pause, work) {
  let running = false;
  let again = false;
  let timer = null;
  const turn = async () => {
    clearTimeout(timer);
    again ||= running;
    if (running || document.hidden) return;
    running = true;
    try {
      await work();
    } finally {
      running = false;
      timer = setTimeout(turn, again ? 0 : pause());
      again = false;
    }
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return turn;
}
