import { examineRendered } from '../../../test/support/render-suite.ts';

/** A service that says what reached it. */
const service = (file: string): string => `
  const { listen } = await import(${JSON.stringify(file)});
  await listen((request, response) => {
    let octets = 0;
    request.on('data', (chunk) => (octets += chunk.length));
    request.on('end', () => response.end(JSON.stringify({ served: true, octets, headers: request.headers, caller: request.countersign.caller })));
  });`;

examineRendered({
  kind: 'node',
  program: process.execPath,
  needs: process.execPath,
  check: (file) => ['--check', file],
  complains: /./,
  run: (file) => ['--input-type=module', '--eval', service(file)],
  unproved: 'closed',
  // Lists of the leaf's authority are read by the module, after the handshake.
  exam: { revoked: '403' },
  findings: [],
  lists: 'leaf',
  toldCertificate: true,
  observed: { toldWhenProved: true },
  countsChunks: true,
  staples: true,
  rates: 'none',
  serverField: undefined,
});
