// multipart/form-data (RFC 7578), as browsers and HTTP clients send it, and nothing more: what is not plainly a form is refused.
import { add, BodyError, textOf } from './body.ts';

export type FormValue = string | File;

const MAX_PARTS = 1000;
const MAX_HEAD = 8192; // of one part
const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** Fields as strings, files as File. The result has no prototype, so no name can mean anything else. */
export function parseMultipart(header: string, raw: Buffer): Record<string, FormValue | FormValue[]> {
  const m = /;\s*boundary\s*=\s*(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70})(?=\s*(?:;|$)))/i.exec(header);
  if (m === null) throw new BodyError('the form is multipart, but its content-type has no boundary');
  const delimiter = Buffer.from(`\r\n--${m[1] ?? m[2]}`, 'latin1');
  const out: Record<string, FormValue | FormValue[]> = Object.create(null);
  if (raw.indexOf(delimiter.subarray(2)) !== 0) throw new BodyError('the form does not begin with its boundary');
  for (let at = delimiter.length - 2, parts = 0;;) {
    const after = raw.toString('latin1', at, at + 2);
    if (after === '--') {
      const rest = raw.toString('latin1', at + 2, at + 5);
      if (rest !== '' && rest !== '\r\n') throw new BodyError('something stands behind the end of the form');
      return out;
    }
    if (after !== '\r\n') throw new BodyError('the form ends before its last boundary');
    if (++parts > MAX_PARTS) throw new BodyError(`the form has more than ${MAX_PARTS} parts`);
    const end = raw.indexOf(delimiter, at); // its line break may be the one behind the boundary before: an empty head
    const head = raw.subarray(at, Math.min(at + MAX_HEAD, end < 0 ? raw.length : end)).indexOf(END_OF_HEAD);
    if (end < 0 || head < 0) throw new BodyError('a part of the form has no end, or no head');
    const { name, filename, type } = readHead(raw.toString('latin1', at + 2, at + head + 2));
    const content = raw.subarray(at + head + 4, end);
    add(out, name, filename === undefined ? textOf(type ?? '', content, false) : new File([content], filename, { type: type ?? 'application/octet-stream' }));
    at = end + delimiter.length;
  }
}

interface Head { name: string; filename: string | undefined; type: string | undefined }

function readHead(text: string): Head {
  let disposition: string | undefined;
  let type: string | undefined;
  for (const line of text.split('\r\n')) {
    if (line === '') continue;
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (colon <= 0 || /[^!-~]/.test(name) || /[\r\n\0]/.test(value)) throw new BodyError('a part of the form has a head that does not parse');
    if (name === 'content-disposition') {
      if (disposition !== undefined) throw new BodyError('a part of the form has two names');
      disposition = value;
    } else if (name === 'content-type') type = value;
    else if (name === 'content-transfer-encoding' && !/^(7bit|8bit|binary)$/i.test(value)) throw new BodyError('a part of the form is encoded, which HTTP does not need');
  }
  if (disposition === undefined || !/^form-data\s*(;|$)/i.test(disposition)) throw new BodyError('a part of the form is no form-data');
  if (type !== undefined && /^multipart\//i.test(type)) throw new BodyError('a part of the form is a form itself');
  const name = parameter(disposition, 'name');
  if (name === undefined || name === '') throw new BodyError('a part of the form has no name');
  const filename = parameter(disposition, 'filename');
  return { name, filename: filename === undefined ? undefined : lastOf(filename), type };
}

/** A parameter as browsers write it: in quotes, with %22, %0D and %0A for what would end them, in UTF-8. */
function parameter(disposition: string, name: string): string | undefined {
  const m = new RegExp(`;\\s*${name}\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;"]+))`, 'i').exec(disposition);
  if (m === null) return undefined;
  const text = m[2] ?? m[1]!.replace(/\\(["\\])/g, '$1');
  return Buffer.from(text, 'latin1').toString('utf8').replace(/%22|%0D|%0A/gi, (s) => decodeURIComponent(s));
}

/** What a file is called, without where it lay: a name that can be put behind a directory's. */
const lastOf = (filename: string): string => filename.replace(/^.*[/\\]/s, '').replace(/[\x00-\x1f\x7f]/g, '').replace(/^\.{1,2}$/, '');
