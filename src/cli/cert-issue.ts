import { parseCertificateRequest } from '../core/x509/certificate-request.ts';
import { encodePem } from '../core/x509/pem.ts';
import { openClient } from './client.ts';
import { neededOption, type Run, textOption } from './command.ts';
import { readJobToken } from './read-job-token.ts';
import { readCsrFile } from './read-csr-file.ts';
import { type ShownRequest, standingOf } from './shown-request.ts';
import { reserveOut } from './write-secret.ts';

/** `countersign cert issue`: asks for the names that the CSR asks for; exit code 1 if somebody has to approve first. */
export const run: Run = async (invocation) => {
  const csr = await readCsrFile(neededOption(invocation, 'csr'));
  const { subjectAltNames } = parseCertificateRequest(csr);
  const environment = textOption(invocation, 'environment');
  const profile = neededOption(invocation, 'profile');
  const token = await readJobToken(invocation);
  const client = openClient(invocation, token === null ? 'token' : { bearer: token });
  await using out = await reserveOut(invocation);
  const answer = await client.post<{ readonly pem: string; readonly serial: string } | { readonly request: ShownRequest }>(
    '/v1/certificates',
    {
      csr: encodePem('CERTIFICATE REQUEST', csr),
      profile,
      ...(environment === undefined ? {} : { environment }),
      ...(subjectAltNames.uri[0] === undefined ? {} : { spiffeId: subjectAltNames.uri[0] }),
      ...(subjectAltNames.dns.length === 0 ? {} : { dnsNames: subjectAltNames.dns }),
      ...(subjectAltNames.ip.length === 0 ? {} : { ipAddresses: subjectAltNames.ip }),
    },
  );
  if ('request' in answer) {
    invocation.output.answer(answer, () => [standingOf(answer.request)]);
    return 'no';
  }
  await out?.write(answer.pem);
  invocation.output.answer(answer, () =>
    out === null ? answer.pem.trimEnd().split('\n') : [`certificate ${answer.serial} written to ${out.file}`],
  );
  return 'ok';
};
