// The scan table: one scan by its link, several by their boxes; files come into a hidden frame.
'use strict';
(() => {
  const {projectID, subjectID, ID} = XNAT.data.context;
  const table = document.getElementById('scan-data-table');
  const boxes = [...table.querySelectorAll('input.selectable-select-one')];
  const all = document.getElementById('toggle-all-scans');
  const button = document.querySelector('button.do-scan-download');

  const download = (scans) => {
    const parts = [projectID, 'subjects', subjectID, 'experiments', ID, 'scans'].map(encodeURIComponent).join('/');
    const frame = document.createElement('iframe');
    frame.className = 'download hidden';
    frame.src = `${serverRoot}/REST/projects/${parts}/${scans.map(encodeURIComponent).join(',')}/files?format=zip`;
    document.body.append(frame);
  };
  const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
  const show = () => {
    const none = chosen().length === 0;
    button.classList.toggle('disabled', none);
    button.setAttribute('aria-disabled', String(none));
    all.checked = boxes.length > 0 && boxes.every((box) => box.checked);
  };
  boxes.forEach((box) => box.addEventListener('change', show));
  all.addEventListener('change', () => {
    boxes.forEach((box) => { box.checked = all.checked; });
    show();
  });
  button.addEventListener('click', () => { if (!button.classList.contains('disabled')) download(chosen()); });
  table.addEventListener('click', (event) => {
    const link = event.target.closest('a.download-scan');
    if (!link) return;
    event.preventDefault();
    download([link.dataset.id]);
  });
})();
