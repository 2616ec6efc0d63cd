// "View Images": acts on mousedown as XNAT's plugin does (left: same tab, middle: new tab), after asking whether the
// study description exists and having it made when it does not.
'use strict';
(() => {
  const link = document.getElementById('ohifViewer');
  const {projectID, parentProjectID, subjectID, ID} = XNAT.data.context;

  const ready = async (experiment) => {
    const place = `${serverRoot}/xapi/viewer/projects/${encodeURIComponent(projectID)}/experiments/${encodeURIComponent(experiment)}`;
    const exists = await fetch(`${place}/exists`);
    if (exists.status === 404) {
      const made = await fetch(place, {method: 'POST'});
      if (!made.ok) throw new Error('These images cannot be shown: the session has no DICOM files.');
    }
    const study = await fetch(place);
    if (!study.ok) throw new Error('These images cannot be shown: the session has no DICOM files.');
  };
  const sessionAddress = async () => {
    await ready(ID);
    const item = `${serverRoot}/data/archive/projects/${encodeURIComponent(projectID)}/subjects/${encodeURIComponent(subjectID)}/experiments/${encodeURIComponent(ID)}?format=json`;
    const label = (await (await fetch(item)).json()).items[0].data_fields.label;
    const query = new URLSearchParams({subjectId: subjectID, projectId: projectID, experimentId: ID, experimentLabel: label});
    if (parentProjectID && parentProjectID !== projectID) query.set('parentProjectId', parentProjectID);
    return `${serverRoot}/VIEWER?${query}`;
  };
  const subjectAddress = async () => {
    const list = `${serverRoot}/data/archive/projects/${encodeURIComponent(projectID)}/subjects/${encodeURIComponent(subjectID)}/experiments?format=json`;
    const rows = (await (await fetch(list)).json()).ResultSet.Result;
    for (const row of rows) await ready(row.ID);
    return `${serverRoot}/VIEWER?${new URLSearchParams({subjectId: subjectID, projectId: projectID})}`;
  };
  const open = async (newTab) => {
    link.dataset.state = 'checking';
    try {
      const address = await (link.dataset.context === 'subject' ? subjectAddress() : sessionAddress());
      if (newTab) window.open(address); else location.href = address;
    } catch (problem) {
      link.dataset.state = 'error';
      window.alert(problem.message);
    }
  };
  link.addEventListener('mousedown', (event) => {
    if (event.button === 0) open(false);
    if (event.button === 1) { event.preventDefault(); open(true); }
  });
  link.addEventListener('contextmenu', (event) => { event.preventDefault(); open(true); });
  link.addEventListener('click', (event) => event.preventDefault());
})();
