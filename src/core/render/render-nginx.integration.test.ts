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
  readsLists: true,
  toldCertificate: true,
  observed: { toldWhenProved: false },
  countsChunks: true,
  serverField: 'nginx',
});
