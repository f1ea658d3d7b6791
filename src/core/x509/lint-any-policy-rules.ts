import { readCertificatePolicies } from './certificate-policies.ts';
import { findExtension, type TbsCertificate } from './certificate.ts';
import { DerReader, tags } from './der.ts';
import { unless } from './lint-certificate-rules.ts';
import type { LintRule } from './lint-rule.ts';
import { decodeText } from './name.ts';
import { oids, readOid } from './oid.ts';

/** Rules of certificate policies, their qualifiers and their mappings. */
export const anyPolicyRules: readonly LintRule[] = [
  {
    id: 'any-policy-qualifiers',
    clause: 'RFC 5280 section 4.2.1.4',
    find: ({ tbs }) => {
      const bad = qualifiersOf(tbs).find(({ policy, kind }) => policy === oids.anyPolicy && kind !== CPS && kind !== USER_NOTICE);
      return unless(bad === undefined, `anyPolicy with a qualifier ${bad?.kind}`);
    },
  },
  {
    id: 'policy-notice',
    clause: 'RFC 5280 section 4.2.1.4, RFC 6818 section 3',
    find: ({ tbs }) => {
      const texts = textsOf(tbs);
      if (texts.some(({ tag }) => tag === tags.ia5String)) return 'an explicitText that is an IA5String';
      return unless(!texts.some(({ text }) => [...text].length > MAX_NOTICE), `an explicitText of more than ${MAX_NOTICE} characters`);
    },
  },
  {
    id: 'policy-notice-form',
    clause: 'RFC 5280 section 4.2.1.4, RFC 6818 section 3',
    find: ({ tbs }) => {
      const texts = textsOf(tbs);
      if (texts.some(({ tag }) => tag !== tags.utf8String)) return 'an explicitText that is no UTF8String';
      if (texts.some(({ text }) => /\p{Cc}/u.test(text) || text.normalize('NFC') !== text))
        return 'an explicitText with control characters, or not in normal form C';
      return unless(!noticesOf(tbs).some(({ hasReference }) => hasReference), 'a noticeRef');
    },
  },
  {
    id: 'policy-statement',
    clause: 'RFC 5280 section 4.2.1.4, CA/B BR 7.1.2.7.9',
    find: ({ tbs }) => {
      const uris = qualifiersOf(tbs).flatMap(({ kind, value }) => (kind === CPS ? [statementOf(value)] : []));
      return unless(
        uris.every((uri) => /^https?:\/\/[!-~]+$/i.test(uri)),
        'a certification practice statement that is not at an http or https URI',
      );
    },
  },
  {
    id: 'policy-mappings-asserted',
    clause: 'RFC 5280 section 4.2.1.5',
    find: ({ tbs }) => {
      const { mappings, policies } = readCertificatePolicies(tbs);
      if (!mappings) return null;
      if (findExtension(tbs, oids.policyMappings)?.critical !== true) return 'policy mappings are not critical';
      const stranger = [...mappings.keys()].find((policy) => policies?.has(policy) !== true);
      return unless(stranger === undefined, `policy ${stranger} is mapped and not asserted`);
    },
  },
];

type Qualifier = { readonly policy: string; readonly kind: string; readonly value: Uint8Array };

/** Every qualifier with the policy that it stands at. @throws der-malformed */
function qualifiersOf(tbs: TbsCertificate): readonly Qualifier[] {
  const extension = findExtension(tbs, oids.certificatePolicies);
  if (!extension) return [];
  const found: Qualifier[] = [];
  const list = DerReader.over(extension.value).enter(tags.sequence);
  while (!list.done) {
    const information = list.enter(tags.sequence);
    const policy = readOid(information);
    if (!information.done) found.push(...readQualifiers(policy, information.enter(tags.sequence)));
  }
  return found;
}

function readQualifiers(policy: string, list: DerReader): readonly Qualifier[] {
  const found: Qualifier[] = [];
  while (!list.done) {
    const qualifier = list.enter(tags.sequence);
    found.push({ policy, kind: readOid(qualifier), value: qualifier.rest() });
  }
  return found;
}

type Notice = { readonly hasReference: boolean; readonly text: NoticeText | null };
type NoticeText = { readonly tag: number; readonly text: string };

/** `UserNotice ::= SEQUENCE { noticeRef OPTIONAL, explicitText OPTIONAL }`. */
function noticesOf(tbs: TbsCertificate): readonly Notice[] {
  return qualifiersOf(tbs)
    .filter(({ kind }) => kind === USER_NOTICE)
    .map(({ value }) => {
      const body = DerReader.over(value).enter(tags.sequence);
      const hasReference = body.contentOptional(tags.sequence) !== null;
      const tag = body.nextTag;
      return { hasReference, text: tag < 0 ? null : { tag, text: decodeText(body, tag, body.content(tag)) ?? '' } };
    });
}

function textsOf(tbs: TbsCertificate): readonly NoticeText[] {
  return noticesOf(tbs).flatMap(({ text }) => (text ? [text] : []));
}

function statementOf(value: Uint8Array): string {
  return Buffer.from(DerReader.over(value).content(tags.ia5String)).toString('latin1');
}

const CPS = '1.3.6.1.5.5.7.2.1';
const USER_NOTICE = '1.3.6.1.5.5.7.2.2';
/** RFC 5280 section 4.2.1.4: SIZE (1..200). */
const MAX_NOTICE = 200;
