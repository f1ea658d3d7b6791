import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeJson, escapeText, formatTable, openOutput } from './output.ts';

/** What a command would have written to stdout. */
function written(json: boolean, value: unknown, lines: readonly string[]): string {
  let text = '';
  openOutput(json, (chunk) => (text += chunk)).answer(value, () => lines);
  return text;
}

const HOSTILE = [
  ['a window title', '\u001b]0;owned\u0007'],
  ['a line that is cleared', 'revoked\r\u001b[2Kissued'],
  ['a C1 control', '\u009b2J'],
  ['another line', 'team\nverified: 4 entries'],
  ['a direction override', '\u202etxt.exe'],
  ['a heading of its own with a control in it', '\u001b[1m\u001b[2J\u001b[22m'],
] as const;

for (const [what, text] of HOSTILE) {
  test(`${what} from outside reaches no terminal`, () => {
    const shown = written(false, {}, [text]).slice(0, -1).replace('\u001b[1m', '').replace('\u001b[22m', '');
    assert.doesNotMatch(shown, /[\p{Cc}\p{Bidi_Control}]/u);
    assert.doesNotMatch(formatTable([['name'], [text]])[1]!, /[\p{Cc}\p{Bidi_Control}]/u);
    const json = written(true, { text }, []).slice(0, -1);
    assert.doesNotMatch(json, /[\p{Cc}\p{Bidi_Control}]/u);
    assert.deepEqual(JSON.parse(json), { text });
  });
}

test('ordinary text stays as it is', () => {
  assert.equal(written(false, {}, ['größer als 3 µs → ok']), 'größer als 3 µs → ok\n');
  assert.equal(encodeJson({ name: 'größe' }), '{"name":"größe"}');
  assert.equal(escapeText('a\\u{1b}'), 'a\\u{1b}');
});

test('a heading is bold where it was made so', () => {
  assert.equal(written(false, {}, ['\u001b[1mname\u001b[22m']), '\u001b[1mname\u001b[22m\n');
});
