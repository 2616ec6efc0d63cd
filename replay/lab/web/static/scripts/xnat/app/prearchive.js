// The prearchive: sessions that were uploaded and wait to be archived or deleted.
'use strict';
(() => {
  const body = document.querySelector('#prearchive_table tbody');
  const cell = (text) => Object.assign(document.createElement('td'), {textContent: text});
  const act = async (service, url) => {
    const query = new URLSearchParams({src: url, XNAT_CSRF: csrfToken});
    const answer = await fetch(`${serverRoot}/data/services/${service}?${query}`, {method: 'POST'});
    if (!answer.ok) window.alert(`This did not work (status ${answer.status}).`);
    show();
  };
  const button = (label, service, url) => {
    const made = Object.assign(document.createElement('button'), {type: 'button', className: 'btn', textContent: label});
    made.addEventListener('click', () => act(service, url));
    return made;
  };
  const show = async () => {
    const answer = await fetch(`${serverRoot}/data/prearchive/projects?format=json`);
    const rows = (await answer.json()).ResultSet.Result;
    body.replaceChildren(...rows.map((row) => {
      const line = document.createElement('tr');
      const actions = document.createElement('td');
      actions.append(button('Archive', 'archive', row.url), ' ', button('Delete', 'prearchive/delete', row.url));
      line.append(cell(row.project), cell(row.subject), cell(row.name), cell(row.scan_date), cell(row.uploaded), cell(row.status), actions);
      return line;
    }));
    if (rows.length === 0) body.innerHTML = '<tr><td colspan="7">The prearchive is empty.</td></tr>';
  };
  show();
})();
