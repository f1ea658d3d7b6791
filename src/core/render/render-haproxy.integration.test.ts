import { examineRendered } from '../../../test/support/render-suite.ts';

examineRendered({
  kind: 'haproxy',
  program: 'haproxy',
  needs: process.execPath,
  check: (file) => ['-c', '-f', file],
  complains: /WARNING|ALERT/,
  run: (file) => ['-db', '-f', file],
  unproved: 'closed',
  // This HAProxy runs on an OpenSSL without ML-KEM, which the order says.
  exam: { 'an hybrid group': 'closed' },
  findings: ['post-quantum-missing: none of X25519MLKEM768'],
  lists: 'leaf',
  toldCertificate: true,
  // It has no list of the root, and tells nothing while that is ignored.
  observed: { toldWhenProved: false },
  countsChunks: false,
  staples: true,
  rates: 'caller',
  serverField: undefined,
});
