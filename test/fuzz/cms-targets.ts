import { parseEnvelopedData } from '../../src/core/cms/enveloped-data.ts';
import { Problem } from '../../src/core/problems/problem.ts';
import { isSignedBySender, parsePkiMessage, type PkiMessage } from '../../src/protocols/scep/pki-message.ts';
import { type FuzzTarget, judged } from './fuzz-target.ts';
import { mutateDer } from './mutate-der.ts';
import { readCorpus } from './read-corpus.ts';

const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'der-malformed';

/** The messages of SCEP, and what is encrypted in them. */
export const cmsTargets: readonly FuzzTarget[] = [
  {
    name: 'scep-message',
    corpus: readCorpus('scep-message'),
    mutate: mutateDer,
    examine: (input) => {
      const read: PkiMessage[] = [];
      const verdict = judged(() => read.push(parsePkiMessage(input)), isMalformed);
      // Whoever signed whatever: it is true or false, or the key is none.
      for (const message of read) judged(() => isSignedBySender(message, 'sha1'), isMalformed);
      return verdict;
    },
  },
  {
    name: 'enveloped-data',
    corpus: readCorpus('enveloped-data'),
    mutate: mutateDer,
    examine: (input) => judged(() => parseEnvelopedData(input), isMalformed),
  },
];
