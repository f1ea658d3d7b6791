import { encodePem } from '../core/x509/pem.ts';
import { openClient } from './client.ts';
import { neededOption, type Run } from './command.ts';
import { readCsrFile } from './read-csr-file.ts';
import { reserveOut } from './write-secret.ts';

/** `countersign cert renew`: the certificate that is renewed is the credential. */
export const run: Run = async (invocation) => {
  const csr = encodePem('CERTIFICATE REQUEST', await readCsrFile(neededOption(invocation, 'csr')));
  const client = openClient(invocation, {
    certificateFile: neededOption(invocation, 'certificate'),
    keyFile: neededOption(invocation, 'key'),
  });
  await using out = await reserveOut(invocation);
  const answer = await client.post<{ readonly pem: string; readonly serial: string }>('/v1/certificate-renewals', { csr });
  await out?.write(answer.pem);
  invocation.output.answer(answer, () =>
    out === null ? answer.pem.trimEnd().split('\n') : [`certificate ${answer.serial} written to ${out.file}`],
  );
  return 'ok';
};
