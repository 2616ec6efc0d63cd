// The download page: the choice is posted, its size comes back, then the zip (or the list of files) is fetched.
'use strict';
(() => {
  const form = document.getElementById('download-form');
  const dialog = document.getElementById('download-dialog');
  const go = document.getElementById('download-go');
  const checked = (name) => [...form.querySelectorAll(`input[name="${name}"]:checked`)].map((box) => box.value);

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const method = form.querySelector('input[name=downloadMethod]:checked').value;
    const sessions = checked('sessions[]');
    const answer = await fetch(`${serverRoot}/xapi/archive/downloadwithsize`, {
      method: 'POST',
      headers: {'Content-Type': 'application/json'},
      body: JSON.stringify({
        sessions,
        projectIds: [...new Set(sessions.map((session) => session.split(':')[0]))],
        scan_formats: checked('scan_formats[]'),
        scan_types: checked('scan_types[]'),
        options: [],
      }),
    });
    const message = dialog.querySelector('.message');
    if (!answer.ok) {
      message.textContent = 'Nothing to download: choose at least one session that has images.';
      go.hidden = true;
      dialog.showModal();
      return;
    }
    const found = await answer.json();
    message.textContent = `The selected images take ${(found.size / 1048576).toFixed(1)} MB before compression.`;
    go.hidden = false;
    go.textContent = {zip: 'Download ZIP', xml: 'Download XML', client: 'Download Via App'}[method];
    go.dataset.method = method;
    go.onclick = async () => {
      dialog.close();
      if (method === 'client') {
        await fetch(`${serverRoot}/data/services/tokens/issue?format=json`);
        return; // the desktop client would be started here; there is none in the practice system
      }
      location.href = `${serverRoot}/xapi/archive/download/${encodeURIComponent(found.id)}/${method}`;
    };
    dialog.showModal();
  });
  document.getElementById('download-cancel').addEventListener('click', () => dialog.close());
})();
