import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type LockFile, missingBuilds } from './lock-file.ts';

const lock = JSON.parse(readFileSync(join(import.meta.dirname, '../package-lock.json'), 'utf8')) as LockFile;

test('the lock file names every optional build, so that npm ci takes it on every platform', () => {
  assert.deepEqual(missingBuilds(lock), {});
});

test('the lock file names no registry', () => {
  assert.ok(!/"resolved"/.test(JSON.stringify(lock)));
});

test('missingBuilds() finds what a registry without it left out', () => {
  const packages = {
    'node_modules/a': {
      version: '1.0.0',
      dev: true,
      optionalDependencies: { '@a/b-linux-arm64-musl': '1.0.0', '@a/b-linux-x64': '1.0.0' },
    },
    'node_modules/@a/b-linux-x64': {},
  };
  assert.deepEqual(missingBuilds({ packages }), {
    'node_modules/@a/b-linux-arm64-musl': { version: '1.0.0', dev: true, optional: true, os: ['linux'], cpu: ['arm64'], libc: ['musl'] },
  });
});
