import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROXY_NODE_OPTIONS, proxyNodeOptions } from './node-options.ts';

test('a process that is to be a proxy gets short pauses, unless whoever started its parent chose another size', () => {
  assert.deepEqual(proxyNodeOptions({ execArgv: ['--disable-warning=ExperimentalWarning'], env: {} }), PROXY_NODE_OPTIONS);
  assert.deepEqual(proxyNodeOptions({ execArgv: ['--max_semi_space_size=8', '--inspect'], env: {} }), ['--max_semi_space_size=8']);
  assert.deepEqual(proxyNodeOptions({ execArgv: ['--inspect', ...PROXY_NODE_OPTIONS], env: {} }), PROXY_NODE_OPTIONS);
  // It reads that itself.
  assert.deepEqual(proxyNodeOptions({ execArgv: [], env: { NODE_OPTIONS: '--inspect --max-semi-space-size=16' } }), []);
});
