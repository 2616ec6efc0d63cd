// Listings as on XNAT's project pages: a search document is posted, its result is a table on the server that is read
// page by page; headers open a menu to sort and to filter. The holder's data-state tells loading, ready or error.
'use strict';
(() => {
  const COLUMNS = {
    'xnat:subjectData': ['SUBJECT_LABEL', 'GENDER_TEXT', 'DOB', 'SESSION_COUNT', 'INSERT_DATE'],
    'xnat:ctSessionData': ['LABEL', 'SUBJECT_LABEL', 'DATE', 'AGE', 'SCANNER_CSV', 'SCAN_TYPES'],
    'xnat:imageSessionData': ['LABEL', 'PROJECT', 'SUBJECT_LABEL', 'DATE', 'AGE', 'SCANNER_CSV', 'SCAN_TYPES'],
  };
  const QUICK = ['LABEL', 'SUBJECT_LABEL', 'SESSION_ID', 'SUBJECT_ID', 'SCAN_TYPES', 'SCANNER'];
  const PAGE_SIZES = [20, 50, 100, 200, 500, 1000, 5000];

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const escape = (text) => text.replace(/[<>&"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

  class Listing {
    constructor(holder, {project, words}) {
      this.holder = holder;
      this.element = holder.dataset.element;
      this.project = project;
      this.words = words;
      this.filters = new Map();
      this.sort = null;
      this.offset = 0;
      this.limit = 200;
      this.started = false;
      this.build();
    }

    build() {
      this.filterText = make('span', {className: 'filter-text'});
      this.reloadButton = make('button', {type: 'button', className: 'btn listing-reload', textContent: 'Reload'});
      this.csvButton = make('button', {type: 'button', className: 'btn listing-csv', textContent: 'Spreadsheet'});
      this.count = make('span', {className: 'listing-count'});
      this.pager = make('span', {className: 'paginator'});
      this.size = make('select', {className: 'rows-per-page', ariaLabel: 'Rows per page'},
        ...PAGE_SIZES.map((size) => make('option', {value: size, textContent: size, selected: size === this.limit})));
      this.head = make('tr');
      this.body = make('tbody');
      this.holder.replaceChildren(
        make('div', {className: 'listing-bar'}, this.count, this.filterText, this.pager, this.size, this.reloadButton, this.csvButton),
        make('div', {className: 'scroller'},
          make('table', {className: 'data listing-table'}, make('thead', {}, this.head), this.body)));
      this.reloadButton.addEventListener('click', () => this.run(true));
      this.csvButton.addEventListener('click', () => this.spreadsheet());
      this.size.addEventListener('change', () => { this.limit = Number(this.size.value); this.offset = 0; this.page(); });
    }

    document() {
      const columns = COLUMNS[this.element];
      const fields = columns.map((id, index) => `<xdat:search_field><xdat:element_name>${this.element}</xdat:element_name>`
        + `<xdat:field_ID>${id}</xdat:field_ID><xdat:sequence>${index}</xdat:sequence><xdat:type>string</xdat:type>`
        + `<xdat:header>${id}</xdat:header></xdat:search_field>`).join('');
      const test = (field, comparison, value) => '<xdat:criteria override_value_formatting="0">'
        + `<xdat:schema_field>${this.element}/${field}</xdat:schema_field><xdat:comparison_type>${comparison}</xdat:comparison_type>`
        + `<xdat:value>${escape(value)}</xdat:value></xdat:criteria>`;
      let where = this.project ? test('PROJECT', '=', this.project) : '';
      if (this.words) {
        where += `<xdat:child_set method="OR">${QUICK.map((field) => test(field, 'LIKE', `%${this.words}%`)).join('')}</xdat:child_set>`;
      }
      this.filters.forEach((value, field) => { where += test(field, 'LIKE', `%${value}%`); });
      return `<?xml version="1.0" encoding="UTF-8"?><xdat:search ID="@${this.element}" xmlns:xdat="http://nrg.wustl.edu/security">`
        + `<xdat:root_element_name>${this.element}</xdat:root_element_name>${fields}`
        + `<xdat:search_where method="AND">${where}</xdat:search_where></xdat:search>`;
    }

    async run(refresh) {
      this.started = true;
      this.holder.dataset.state = 'loading';
      const query = new URLSearchParams({XNAT_CSRF: csrfToken, format: 'json', cache: 'true'});
      if (refresh) query.set('refresh', 'true');
      const answer = await fetch(`${serverRoot}/REST/search?${query}`, {
        method: 'POST', headers: {'Content-Type': 'text/xml'}, body: this.document(),
      });
      if (!this.usable(answer)) return;
      const found = (await answer.json()).ResultSet;
      this.tableId = found.ID;
      this.total = Number(found.totalRecords);
      this.columns = found.Columns;
      this.offset = 0;
      this.holder.id ||= `${found.ID}_div`;
      this.headers();
      await this.page();
    }

    async page() {
      this.holder.dataset.state = 'loading';
      const query = new URLSearchParams({format: 'xList', offset: this.offset, limit: this.limit, XNAT_CSRF: csrfToken});
      if (this.sort) {
        query.set('sortBy', this.sort.column);
        query.set('sortOrder', this.sort.order);
      }
      const answer = await fetch(`${serverRoot}/REST/search/${this.tableId}?${query}`);
      if (!this.usable(answer)) return;
      const parsed = new DOMParser().parseFromString(await answer.text(), 'text/html');
      this.body.replaceChildren(...parsed.querySelectorAll('tbody > tr'));
      if (this.total === 0) {
        this.body.replaceChildren(make('tr', {className: 'empty'},
          make('td', {colSpan: this.columns.length, textContent: 'Nothing matches. Clear the filter to see everything.'})));
      }
      this.count.textContent = this.total === 1 ? '1 row' : `${this.total} rows`;
      this.pages();
      this.holder.dataset.total = String(this.total);
      this.holder.dataset.loads = String(Number(this.holder.dataset.loads || 0) + 1);
      this.holder.dataset.state = 'ready';
    }

    usable(answer) {
      if (answer.redirected && answer.url.includes('Login.vm')) {
        location.href = answer.url;
        return false;
      }
      if (!answer.ok) {
        this.holder.dataset.state = 'error';
        this.count.textContent = `The search failed (status ${answer.status}). Reload the page.`;
      }
      return answer.ok;
    }

    headers() {
      this.head.replaceChildren(...this.columns.map((column) => {
        const sorted = this.sort && this.sort.column === column.id ? (this.sort.order === 'ASC' ? ' ▲' : ' ▼') : '';
        const button = make('button', {type: 'button', className: 'column-menu-button', textContent: column.header + sorted});
        const cell = make('th', {scope: 'col'}, button);
        cell.dataset.column = column.id;
        button.addEventListener('click', () => this.menu(cell, column));
        return cell;
      }));
      this.filterText.replaceChildren(...[...this.filters].map(([field, value]) => {
        const clear = make('button', {type: 'button', className: 'filter-clear', textContent: `${field}: ${value} ✕`, title: 'Clear filter'});
        clear.dataset.column = field;
        clear.addEventListener('click', () => { this.filters.delete(field); this.run(true); });
        return clear;
      }));
    }

    menu(cell, column) {
      const open = this.holder.querySelector('.column-menu');
      if (open) open.remove();
      if (open && open.parentElement === cell) return;
      const entry = (label, className, act) => {
        const button = make('button', {type: 'button', className, textContent: label});
        button.addEventListener('click', () => { menu.remove(); act(); });
        return button;
      };
      const menu = make('div', {className: 'column-menu'},
        entry('Sort Up', 'sort-up', () => this.order(column.id, 'ASC')),
        entry('Sort Down', 'sort-down', () => this.order(column.id, 'DESC')),
        entry('Filter', 'filter', () => this.filterDialog(column)));
      cell.append(menu);
    }

    order(column, order) {
      this.sort = {column, order};
      this.offset = 0;
      this.headers();
      this.page();
    }

    async filterDialog(column) {
      const value = make('input', {type: 'text', name: 'filter_value', className: 'filter-value', value: this.filters.get(column.id) || ''});
      const known = make('datalist', {id: `values_${column.id}`});
      value.setAttribute('list', known.id);
      const form = make('form', {method: 'dialog', className: 'filter-form'},
        make('label', {}, `${column.header} contains `, value), known,
        make('p', {className: 'buttons'},
          make('button', {type: 'submit', className: 'btn primary filter-submit', textContent: 'Submit'}),
          make('button', {type: 'button', className: 'btn filter-cancel', textContent: 'Cancel'})));
      const dialog = make('dialog', {className: 'filter-dialog'}, form);
      document.body.append(dialog);
      form.querySelector('.filter-cancel').addEventListener('click', () => dialog.close());
      dialog.addEventListener('close', () => dialog.remove());
      form.addEventListener('submit', () => {
        const text = value.value.trim();
        if (text) this.filters.set(column.id, text); else this.filters.delete(column.id);
        this.run(true);
      });
      dialog.showModal();
      value.focus();
      const answer = await fetch(`${serverRoot}/REST/search/${this.tableId}/${column.id}?format=json`);
      if (!answer.ok) return;
      const rows = (await answer.json()).ResultSet.Result;
      known.append(...rows.slice(0, 200).map((row) => make('option', {value: row.values})));
    }

    pages() {
      const last = Math.max(0, Math.ceil(this.total / this.limit) - 1);
      const at = Math.floor(this.offset / this.limit);
      const link = (label, className, target) => {
        const button = make('button', {type: 'button', className: `btn ${className}`, textContent: label, disabled: target < 0 || target > last || target === at});
        button.addEventListener('click', () => { this.offset = target * this.limit; this.page(); });
        return button;
      };
      this.pager.replaceChildren(link('‹ prev', 'page-prev', at - 1), ` page ${at + 1} of ${last + 1} `, link('next ›', 'page-next', at + 1));
    }

    spreadsheet() {
      const form = make('form', {method: 'post', action: `${serverRoot}/app/action/CSVAction`},
        make('input', {type: 'hidden', name: 'XNAT_CSRF', value: csrfToken}),
        make('input', {type: 'hidden', name: 'search_id', value: this.tableId}));
      document.body.append(form);
      form.submit();
      form.remove();
    }
  }

  const tabs = document.getElementById('search_tabs');
  const {project, words} = tabs.dataset;
  const listings = [...tabs.querySelectorAll('.listing')].map((holder) => new Listing(holder, {project, words}));
  const show = async (element) => {
    tabs.querySelectorAll('.yui-nav li').forEach((entry) => {
      entry.classList.toggle('selected', entry.firstElementChild.dataset.element === element);
    });
    for (const listing of listings) {
      listing.holder.classList.toggle('hidden', listing.element !== element);
      if (listing.element === element && !listing.started) {
        if (project) await fetch(`${serverRoot}/REST/projects/${encodeURIComponent(project)}/searches/@${element}`);
        await listing.run(false);
      }
    }
  };
  tabs.querySelectorAll('.yui-nav a').forEach((link) => link.addEventListener('click', (event) => {
    event.preventDefault();
    show(link.dataset.element);
  }));
  show(listings[0].element);
})();
