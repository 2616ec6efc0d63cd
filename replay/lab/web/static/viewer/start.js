// Starts the stock viewer at XNAT's address: its own route wants the study description as `url` in the query, so that is
// put in before it looks and taken out again once the thumbnails are there.
'use strict';
(() => {
  const address = location.pathname + location.search;
  const query = new URLSearchParams(location.search);
  const project = encodeURIComponent(query.get('projectId') || '');
  const subject = encodeURIComponent(query.get('subjectId') || '');
  const experiment = encodeURIComponent(query.get('experimentId') || '');
  const ignore = () => {};

  // What XNAT's viewer asks beside the images.
  const aside = async () => {
    const user = await (await fetch(`${serverRoot}/xapi/users/username`)).text();
    await Promise.allSettled([
      `xapi/users/profile/${encodeURIComponent(user)}`,
      `xapi/ohifaiaa/projects/${project}/servers`,
      `xapi/ohifroicolor/projects/${project}/roicolor`,
      `xapi/viewerConfig/projects/${project}/roipreset`,
      `xapi/roi/projects/${project}/permissions/RoiCollection`,
      ...(experiment ? [`data/archive/projects/${project}/subjects/${subject}/experiments/${experiment}/assessors?format=json`] : []),
    ].map((place) => fetch(`${serverRoot}/${place}`)));
  };

  const study = experiment
    ? `${serverRoot}/xapi/viewer/projects/${project}/experiments/${experiment}`
    : `${serverRoot}/xapi/viewer/projects/${project}/subjects/${subject}`;
  query.set('url', location.origin + study);
  history.replaceState(null, '', `${location.pathname}?${query}`);
  aside().catch(ignore);
  window.OHIFViewer.installViewer(window.config, 'root', ignore);

  const watch = setInterval(() => {
    if (!document.querySelector('.thumbnail')) return;
    clearInterval(watch);
    history.replaceState(null, '', address);
    document.title = `${query.get('experimentLabel') || query.get('subjectId') || ''} | XNAT OHIF Viewer`;
  }, 50);
})();
