// The compressed uploader: the file goes into the user's cache, then the import service is told to take it from there.
'use strict';
(() => {
  const form = document.getElementById('uploadFORM');
  const summary = document.getElementById('overallSummary');
  const bar = document.getElementById('progressBar');
  const extract = document.getElementById('extractBar');
  const button = document.getElementById('directButton');
  const say = (text, state) => { summary.textContent = text; summary.dataset.state = state; };

  const send = (place, file) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const body = new FormData();
    body.append('image_archive', file);
    request.upload.addEventListener('progress', (event) => { bar.value = event.total ? (100 * event.loaded) / event.total : 0; });
    request.addEventListener('load', () => (request.status < 300 ? resolve() : reject(new Error(`status ${request.status}`))));
    request.addEventListener('error', () => reject(new Error('the connection broke')));
    request.open('PUT', place);
    request.send(body);
  });

  button.addEventListener('click', async () => {
    const file = document.getElementById('image_archive').files[0];
    if (!file) {
      say('Choose a zip archive first.', 'error');
      return;
    }
    button.disabled = true;
    bar.value = 0;
    extract.value = 0;
    const id = `D${Date.now()}`;
    const name = encodeURIComponent(file.name);
    try {
      say('Uploading…', 'uploading');
      await send(`${serverRoot}/data/user/cache/resources/${id}/files/${name}?XNAT_CSRF=${csrfToken}`, file);
      bar.value = 100;
      say('Archiving…', 'archiving');
      const query = new URLSearchParams({
        XNAT_CSRF: csrfToken,
        src: `/user/cache/resources/${id}/files/${file.name}`,
        project: document.getElementById('project').value,
        'import-handler': document.getElementById('import-handler').value,
        prearchive_code: form.querySelector('input[name=prearchive_code]:checked').value,
        'http-session-listener': id,
      });
      if (document.getElementById('Ignore-UnparsableUI').checked) query.set('Ignore-Unparsable', 'true');
      const answer = await fetch(`${serverRoot}/data/services/import?${query}`, {method: 'POST'});
      const text = (await answer.text()).trim();
      if (!answer.ok) throw new Error(new DOMParser().parseFromString(text, 'text/html').body.textContent);
      extract.value = 100;
      say('', 'done');
      text.split(/\s+/).forEach((address) => {
        const link = document.createElement('a');
        link.textContent = `Stored as ${address}`;
        link.href = address.startsWith('/data/prearchive') ? `${serverRoot}/app/template/XDATScreen_prearchives.vm` : serverRoot + address;
        summary.append(link, document.createElement('br'));
      });
    } catch (problem) {
      say(`The upload failed: ${problem.message}`, 'error');
    } finally {
      button.disabled = false;
    }
  });
})();
