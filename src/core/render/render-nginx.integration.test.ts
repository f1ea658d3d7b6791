import { examineRendered } from '../../../test/support/render-suite.ts';

examineRendered({
  kind: 'nginx',
  program: 'nginx',
  check: (file) => ['-t', '-g', `daemon off; pid ${file}.pid;`, '-c', file],
  complains: /\[(?:warn|error|emerg)\]/,
  run: (file) => ['-g', `daemon off; pid ${file}.pid;`, '-c', file],
  unproved: '400',
  // This nginx runs on an OpenSSL without ML-KEM, which the order says.
  exam: { 'an hybrid group': 'closed' },
  findings: ['post-quantum-missing: none of X25519MLKEM768'],
  lists: 'path',
  toldCertificate: true,
  observed: { toldWhenProved: false },
  countsChunks: true,
  staples: true,
  rates: 'caller',
  serverField: 'nginx',
});
