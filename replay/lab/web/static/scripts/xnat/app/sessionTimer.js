// The countdown to the end of the session, as XNAT's pages do it: every answer of the server sets a cookie whose first number then
// differs; the page counts by its own clock from when it noticed that. A minute before the end a dialog asks; at the end the page loads
// itself again, and the server, which knows the session no more, leads to the login page.
'use strict';
(() => {
  const WARN_MS = 59_000;
  const EVERY_MS = 1000;
  const cookie = (name) => document.cookie.split('; ').find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
  const keep = (name, value) => { document.cookie = `${name}=${value}; path=${serverRoot || '/'}`; };
  const clock = document.getElementById('timeLeft');
  const dialog = document.getElementById('session_timeout_dialog');
  let flag = null;
  let end = null;
  let warned = false;
  let over = false;

  const renew = () => {
    dialog.close();
    fetch(`${serverRoot}/xapi/siteConfig/buildInfo`).catch(() => {}); // whose answer sets the cookie
  };

  const leave = () => {
    if (over) return;
    over = true;
    keep('SESSION_EXPIRATION_TIMEOUT', 'true'); // other tabs hear of it
    keep('SESSION_TIMEOUT_TIME', Date.now());
    keep('WARNING_BAR', 'OPEN');
    keep('guest', 'true');
    location.reload();
  };

  const look = () => {
    const [said, lasts] = (cookie('SESSION_EXPIRATION_TIME') ?? '').replaceAll('"', '').split(',');
    if (!lasts) return;
    if (said !== flag) { // used here or in another tab
      flag = said;
      end = Date.now() + Number(lasts);
      warned = false;
      dialog.close();
    }
    const left = end - Date.now();
    const seconds = Math.max(0, Math.floor(left / 1000));
    const pad = (number) => String(number).padStart(2, '0');
    clock.textContent = `${Math.floor(seconds / 3600)}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
    if (left < WARN_MS && !warned) {
      warned = true;
      dialog.showModal();
    }
    if (left <= 0 || cookie('SESSION_EXPIRATION_TIMEOUT') === 'true') leave();
  };

  keep('SESSION_EXPIRATION_TIMEOUT', 'false');
  keep('guest', 'false');
  dialog.querySelector('.renew').addEventListener('click', renew);
  dialog.querySelector('.close').addEventListener('click', () => dialog.close());
  document.querySelector('.renew-session').addEventListener('click', (event) => {
    event.preventDefault();
    renew();
  });
  setInterval(look, EVERY_MS);
})();
