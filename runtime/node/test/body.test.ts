// What becomes of a request's body.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyError, parseBody, parseCookies } from '../src/body.ts';

const form = 'multipart/form-data; boundary=X';
const part = (head: string, content: string): string => `--X\r\n${head}\r\n\r\n${content}\r\n`;
const field = (name: string, content: string): string => part(`Content-Disposition: form-data; name="${name}"`, content);
const read = (type: string, text: string, encoding: BufferEncoding = 'utf8'): any => parseBody(type, Buffer.from(text, encoding));

test('a multipart form has strings and files', async () => {
  const got = read(form, field('a', '1') + field('b', 'grüß\r\n--Y') + field('a', '2') + field('empty', '')
    + part('content-disposition: form-data; name="f"; filename="ü.png"\r\nContent-Type: image/png', '\x00\x01\r\n') + part('Content-Disposition: form-data; name=plain; filename=""', '') + '--X--\r\n');
  assert.deepEqual([got.a, got.b, got.empty], [['1', '2'], 'grüß\r\n--Y', '']);
  assert.ok(got.f instanceof File);
  assert.deepEqual([got.f.name, got.f.type, got.f.size, [...new Uint8Array(await got.f.arrayBuffer())]], ['ü.png', 'image/png', 4, [0, 1, 13, 10]]);
  assert.deepEqual([got.plain.name, got.plain.size], ['', 0]);
  assert.equal(Object.getPrototypeOf(got), null);
});

test("a multipart form is what the platform's own FormData sends", async () => {
  const sent = new FormData();
  sent.append('text', 'a "quoted" word\nand a line');
  sent.append('odd "name"\n', '1');
  sent.append('file', new Blob(['content'], { type: 'text/plain' }), 'a "b".txt');
  const r = new Response(sent);
  const got = parseBody(r.headers.get('content-type')!, Buffer.from(await r.arrayBuffer())) as any;
  assert.deepEqual([got.text, got['odd "name"\r\n'], got.file.name, await got.file.text()], ['a "quoted" word\r\nand a line', '1', 'a "b".txt', 'content']);
});

for (const [name, sent, want] of [
  ['a path', '../../etc/passwd', 'passwd'], ['a path of Windows', 'C:\\Users\\x\\a.txt', 'a.txt'], ['both', 'a/..\\..\\b', 'b'], ['a directory', 'a/', ''], ['dots', '..', ''], ['a dot', 'a/.', ''],
  ['control characters', 'a\x00\x1b[2Jb', 'a[2Jb'], ['an escaped line break', 'a%0D%0Ab', 'ab'], ['hidden', '.env', '.env'],
] as const) {
  test(`the name of a file is only that: ${name}`, () => {
    const head = `Content-Disposition: form-data; name="f"; filename="${sent.replaceAll('\\', '\\\\')}"`;
    if (sent.includes('\x00')) assert.throws(() => read(form, part(head, 'x') + '--X--'), BodyError);
    else assert.equal(read(form, part(head, 'x') + '--X--').f.name, want);
  });
}

for (const [name, type, body] of [
  ['JSON that is none', 'application/json', '{'], ['two of JSON', 'application/json', '{}{}'], ['JSON with a byte order mark', 'application/json', '\ufeff{}'],
  ['a charset that is none', 'application/json; charset=latin-99', '{}'], ['JSON in another charset than it says', 'application/json; charset=utf-16', '{"a":1'],
  ['a form of too many fields', 'application/x-www-form-urlencoded', 'a&'.repeat(10_001)],
  ['no boundary', 'multipart/form-data', field('a', '1')], ['an empty boundary', 'multipart/form-data; boundary=""', field('a', '1')], ['a boundary too long', `multipart/form-data; boundary=${'X'.repeat(71)}`, field('a', '1')],
  ['another boundary', 'multipart/form-data; boundary=Y', `${field('a', '1')}--X--`], ['something in front', form, `x\r\n${field('a', '1')}--X--`], ['something behind', form, `${field('a', '1')}--X--\r\nx`],
  ['no end', form, field('a', '1')], ['cut off', form, `--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n1`], ['cut off in its head', form, '--X\r\nContent-Disposition: form-da'],
  ['no head', form, '--X\r\n\r\n1\r\n--X--'], ['no line before the content', form, '--X\r\nContent-Disposition: form-data; name="a"\r\n1\r\n--X--'], ['bare line feeds', form, field('a', '1').replaceAll('\r\n', '\n') + '--X--'],
  ['no name', form, part('Content-Disposition: form-data', '1') + '--X--'], ['an empty name', form, field('', '1') + '--X--'], ['two names', form, part('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"', '1') + '--X--'],
  ['another disposition', form, part('Content-Disposition: attachment; name="a"', '1') + '--X--'], ['a form in a form', form, part('Content-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed; boundary=Y', '1') + '--X--'],
  ['an encoding', form, part('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', 'MQ==') + '--X--'], ['a folded head', form, part('Content-Disposition: form-data;\r\n name="a"', '1') + '--X--'],
  ['too large a head', form, part(`Content-Disposition: form-data; name="a"\r\nX: ${'x'.repeat(9000)}`, '1') + '--X--'], ['too many parts', form, field('a', '1').repeat(1001) + '--X--'],
] as const) {
  test(`is refused: ${name}`, () => assert.throws(() => read(type, body), BodyError));
}

test('JSON that is not in UTF-8 is refused', () => assert.throws(() => read('application/json', '{"a":"\xff"}', 'latin1'), BodyError));

test('other charsets are read', () => {
  assert.deepEqual(read('application/json; charset=UTF-8', '{"a":"ü"}'), { a: 'ü' });
  assert.deepEqual(read('application/json;charset="utf-16le"', '{"a":"ü"}', 'utf16le'), { a: 'ü' });
  assert.equal(read('text/plain; charset=iso-8859-1', 'gr\xfc\xdf', 'latin1'), 'grüß');
  assert.deepEqual({ ...read('application/x-www-form-urlencoded; charset=windows-1252', 'a=\xfc', 'latin1') }, { a: 'ü' });
});

test('a member __proto__ reaches nobody', () => {
  for (const text of ['{"__proto__":{"bad":1},"a":1}', '{"\\u005f_proto__":{"bad":1},"a":1}', '{"n":{"__proto__":{"bad":1}},"a":1}', '{"_\\u005fpr\\u006fto__":{"bad":1},"a":1}']) {
    const got = read('application/json', text);
    assert.equal(got.a, 1);
    assert.equal(Object.hasOwn(got, '__proto__') || Object.hasOwn(got.n ?? {}, '__proto__'), false, text);
    assert.equal((Object.assign({}, got, got.n) as any).bad, undefined);
  }
  assert.deepEqual(read('application/json', '{"a":"proto__ \\u0041"}'), { a: 'proto__ A' });
  const fields = read('application/x-www-form-urlencoded', '__proto__=1&__proto__=2&constructor=3');
  assert.deepEqual([Object.getPrototypeOf(fields), fields['__proto__'], fields.constructor], [null, ['1', '2'], '3']);
  const parts = read(form, field('__proto__', '1') + field('toString', '2') + '--X--');
  assert.deepEqual([Object.getPrototypeOf(parts), parts['__proto__'], parts.toString], [null, '1', '2']);
  assert.equal(({} as any).bad, undefined);
});

test('JSON a million deep is parsed or refused, and nothing else', () => {
  for (const text of ['['.repeat(1e6), '['.repeat(1e6) + ']'.repeat(1e6), '{"a":'.repeat(1e6), '{"\\u0061":'.repeat(2e5) + '1' + '}'.repeat(2e5)]) {
    try {
      read('application/json', text);
    } catch (err) {
      assert.ok(err instanceof BodyError);
    }
  }
});

test('what is neither text nor a form is bytes', () => {
  assert.deepEqual(read('application/octet-stream', 'ab'), Buffer.from('ab'));
  assert.deepEqual(read('', 'ab'), Buffer.from('ab'));
  assert.deepEqual(read('multipart/mixed; boundary=X', 'ab'), Buffer.from('ab'));
});

test('cookies by name, the first of several', () => {
  assert.deepEqual({ ...parseCookies('a=1; b="two words"; a=2; c=%C3%BC; d=%zz; e=x=y; nothing;=z; __proto__=p') }, { a: '1', b: 'two words', c: 'ü', d: '%zz', e: 'x=y', '': 'z', ['__proto__']: 'p' });
  assert.deepEqual({ ...parseCookies(undefined) }, {});
});
