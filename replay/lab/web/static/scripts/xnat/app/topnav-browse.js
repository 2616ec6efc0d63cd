// The top bar: menus that open on click, the requests that XNAT's top bar makes on every page.
'use strict';
(() => {
  const nav = document.getElementById('main_nav');
  const backdrop = document.getElementById('main-nav-backdrop');
  const closeMenus = () => {
    nav.querySelectorAll('li.open').forEach((entry) => entry.classList.remove('open', 'active'));
    backdrop.classList.remove('open');
  };
  nav.querySelectorAll('ul.nav > li > a[href^="#"]').forEach((link) => {
    link.addEventListener('click', (event) => {
      event.preventDefault();
      const wasOpen = link.parentElement.classList.contains('open');
      closeMenus();
      if (!wasOpen) {
        link.parentElement.classList.add('open', 'active');
        backdrop.classList.add('open');
      }
    });
  });
  backdrop.addEventListener('click', closeMenus);

  const list = async (query, holder) => {
    const answer = await fetch(`${serverRoot}/data/projects?format=json&${query}`, {headers: {Accept: 'application/json'}});
    if (!answer.ok || !holder) return;
    const projects = (await answer.json()).ResultSet.Result;
    holder.replaceChildren(...projects.map((project) => {
      const entry = document.createElement('li');
      const link = document.createElement('a');
      link.href = `${serverRoot}/data/projects/${encodeURIComponent(project.ID)}`;
      link.textContent = project.name;
      entry.append(link);
      return entry;
    }));
  };
  const ignore = () => {}; // a page that is being left cuts these off
  list('accessible=true', document.getElementById('browse-projects')).catch(ignore);
  list('accessible=true&users=true', document.getElementById('my-projects')).catch(ignore);
  list('favorite=true', null).catch(ignore);
  fetch(`${serverRoot}/data/search/saved?format=json`).catch(ignore);
})();
