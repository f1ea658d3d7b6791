import { readCertificateRequestMessages } from '../../src/core/cmp/certificate-request-message.ts';
import { readCrlStatusList } from '../../src/core/cmp/crl-source.ts';
import { readMacAlgorithm } from '../../src/core/cmp/mac-algorithm.ts';
import { type PkiMessage, readPkiMessage } from '../../src/core/cmp/pki-message.ts';
import { provePossession } from '../../src/core/cmp/prove-possession.ts';
import {
  readCertProfiles,
  readConfirmations,
  readErrorStatus,
  readGeneralMessage,
  readPolls,
  readRevocationRequests,
} from '../../src/core/cmp/read-bodies.ts';
import { Problem } from '../../src/core/problems/problem.ts';
import { parseCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { type FuzzTarget, judged } from './fuzz-target.ts';
import { mutateDer } from './mutate-der.ts';
import { readCorpus } from './read-corpus.ts';

/** What devices send as CMP. Nobody protects the mutants anew, so that all behind the protection is read as if it had been verified. */
export const cmpTarget: FuzzTarget = {
  name: 'cmp-message',
  corpus: readCorpus('cmp-message'),
  mutate: mutateDer,
  examine: (input) =>
    judged(
      () => readWhole(readPkiMessage(input)),
      (error) => error instanceof Problem && (error.code === 'der-malformed' || error.code === 'csr-malformed'),
    ),
};

function readWhole(message: PkiMessage): void {
  const { header, kind, body } = message;
  if (header.protectionAlgorithm !== null) readMacAlgorithm(header.protectionAlgorithm);
  for (const { value } of header.info) if (value !== null) attempt(() => readCertProfiles(value));
  switch (kind) {
    case 'ir':
    case 'cr':
    case 'kur':
      for (const asked of readCertificateRequestMessages(body)) {
        const possession = provePossession(asked);
        // The corpus holds all that was ever proved: a mutant that proves something else was not signed by its key.
        if (possession.kind === 'refused') throw new Problem('csr-malformed', possession.reason);
      }
      return;
    case 'p10cr':
      return void parseCertificateRequest(body);
    case 'rr':
      return void readRevocationRequests(body);
    case 'certConf':
      return void readConfirmations(body);
    case 'pollReq':
      return void readPolls(body);
    case 'genm':
      for (const { value } of readGeneralMessage(body)) if (value !== null) attempt(() => readCrlStatusList(value));
      return;
    case 'error':
      return void readErrorStatus(body);
    default:
      throw new Problem('der-malformed', 'of no kind that is answered');
  }
}

/** Values of other types than the reader's are refused, and refused in the known way. */
function attempt(read: () => unknown): void {
  judged(read, (error) => error instanceof Problem && error.code === 'der-malformed');
}
