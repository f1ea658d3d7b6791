import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFields, encodeFrame, encodeSettings, END_STREAM, frameTypes, readFrames } from './frame.ts';

test('encodeFrame() writes the head of RFC 9113 section 4.1', () => {
  const frame = encodeFrame({ type: frameTypes.data, flags: END_STREAM, streamId: 3, payload: Buffer.from('abc') });
  assert.equal(frame.toString('hex'), '000003000100000003616263');
});

test('encodeSettings() writes pairs of RFC 9113 section 6.5.1', () => {
  assert.equal(encodeSettings([[3, 100]]).toString('hex'), '000006040000000000000300000064');
});

test('encodeFields() writes the literal of RFC 7541 appendix C.2.2 with a new name, and long strings by continued integers', () => {
  assert.equal(encodeFields([['password', 'secret']]).toString('hex'), '000870617373776f726406736563726574');
  const [length] = [encodeFields([['a', 'b'.repeat(1337)]])];
  // 1337 - 127 = 1210 = 0b1001_0111010
  assert.equal(length.subarray(3, 6).toString('hex'), '7fba09');
});

test('readFrames() gives whole frames and leaves the rest, octet by octet', () => {
  const first = encodeFrame({ type: frameTypes.ping, flags: 0, streamId: 0, payload: Buffer.alloc(8, 1) });
  const second = encodeFrame({ type: frameTypes.headers, flags: 5, streamId: 1, payload: Buffer.from([0x88]) });
  const all = Buffer.concat([first, second]);
  for (let length = 0; length <= all.length; length++) {
    const { frames, rest } = readFrames(all.subarray(0, length));
    assert.equal(frames.length, length < first.length ? 0 : length < all.length ? 1 : 2);
    assert.equal(rest.length, length - (frames.length > 0 ? first.length : 0) - (frames.length > 1 ? second.length : 0));
  }
  assert.deepEqual(readFrames(all).frames[1], { type: 1, flags: 5, streamId: 1, payload: Buffer.from([0x88]) });
});
