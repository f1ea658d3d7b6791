import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { type Mode, modes } from '../../core/policy/mode.ts';
import type { PathRecord } from '../inventory/record.ts';
import { endpointModeOf, type ModeOfPath } from './endpoint-mode.ts';

/** Paths as `a:enforce` (allowed), `!a:enforce` (not allowed), `a` (allowed, not known to the rollout). */
function modeOf(...texts: readonly string[]): Mode {
  const known = new Map<EntityId<'path'>, ModeOfPath>();
  const paths = texts.map((text): PathRecord => {
    const [name = '', mode] = text.replace('!', '').split(':');
    const id: EntityId<'path'> = `path_${name}`;
    if (mode !== undefined) known.set(id, { receiverMode: mode as Mode, origination: 'mtls' });
    return { id, allowed: !text.startsWith('!') } as PathRecord;
  });
  return endpointModeOf(paths, known);
}

test('an endpoint without paths observes', () => assert.equal(modeOf(), 'observe'));

test('the weakest of the allowed paths counts', () => {
  for (const weaker of modes) {
    for (const other of modes) {
      const expected = modes.indexOf(weaker) < modes.indexOf(other) ? weaker : other;
      assert.equal(modeOf(`a:${weaker}`, `b:${other}`), expected);
    }
  }
});

test('a caller that was only just declared does not loosen an enforced endpoint', () => {
  assert.equal(modeOf('a:enforce', 'b'), 'enforce');
  assert.equal(modeOf('a:permissive', 'b'), 'permissive');
});

test('a caller that nobody allowed does not loosen an enforced endpoint', () => {
  assert.equal(modeOf('a:enforce', '!b:observe'), 'enforce');
  assert.equal(modeOf('a:enforce', '!b'), 'enforce');
});

test('where nobody is allowed, those that dial count', () => {
  assert.equal(modeOf('!a:permissive', '!b:enforce'), 'permissive');
  assert.equal(modeOf('a', '!b:permissive'), 'permissive');
  assert.equal(modeOf('a', '!b'), 'observe');
});
