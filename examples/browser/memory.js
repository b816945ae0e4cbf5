// What the browser keeps for the next visit, or until the tab is closed.

const UPLOAD = "giftless.upload";
const FIELDS = "giftless.fields";
const TOKEN = "giftless.token";

/** The upload that was begun last and not ended, if there is one. */
export function unfinished() {
  return JSON.parse(localStorage.getItem(UPLOAD));
}

/** Keep what a file's upload needs to be gone on with; not the file: pages may not. */
export function begin(file, oid) {
  const { name, size, lastModified } = file;
  const { server, repository } = fields();
  const upload = { name, size, lastModified, oid, server, repository };
  localStorage.setItem(UPLOAD, JSON.stringify(upload));
}

/** There is nothing more to go on with. */
export function end() {
  localStorage.removeItem(UPLOAD);
}

/** Return the oid of a file that was begun, so that it is not hashed again. */
export function oidOf(file) {
  const known = unfinished();
  const same = ["name", "size", "lastModified"].every((key) => known?.[key] === file[key]);
  return same ? known.oid : undefined;
}

/** Return what was entered last, by the names of the fields. */
export function fields() {
  const kept = JSON.parse(localStorage.getItem(FIELDS)) ?? {};
  return { ...kept, token: sessionStorage.getItem(TOKEN) ?? "" };
}

/** Keep what was entered; the token for this tab only. */
export function keepFields({ token, ...others }) {
  localStorage.setItem(FIELDS, JSON.stringify(others));
  sessionStorage.setItem(TOKEN, token);
}
