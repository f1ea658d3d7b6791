import { join } from 'node:path';
import { examineRendered } from '../../../test/support/render-suite.ts';

examineRendered({
  kind: 'envoy',
  program: join(import.meta.dirname, '../../../.test/peers/envoy/bin/envoy'),
  needs: process.execPath,
  check: (file) => ['--mode', 'validate', '-c', file],
  complains: /\[(?:warning|error|critical)\]/,
  run: (file) => ['-c', file, '--disable-hot-restart', '--concurrency', '1', '-l', 'warn'],
  unproved: 'closed',
  exam: {},
  findings: [],
  lists: 'leaf',
  toldCertificate: false,
  observed: { toldWhenProved: false },
  countsChunks: true,
  staples: true,
  rates: 'endpoint',
  serverField: undefined,
});
