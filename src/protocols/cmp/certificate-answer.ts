import { cmpOids } from '../../core/cmp/cmp-oids.ts';
import { infoNode } from '../../core/cmp/pki-header.ts';
import { certificateResponseNode } from '../../core/cmp/write-bodies.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import { nullValue } from '../../core/x509/der-writer.ts';
import { sameName } from '../../core/x509/name.ts';
import { oids } from '../../core/x509/oid.ts';
import { generalizedTime } from '../../core/x509/x509-time.ts';
import type { CmpAnswer } from './answer.ts';

/** How the device says that it took the certificate: not at all, or by certConf until then. */
export type Confirmation = { readonly kind: 'implicit' } | { readonly kind: 'until'; readonly at: Instant };

/** The body that hands a certificate out. */
export function certificateAnswer(
  given: {
    readonly answer: 'ip' | 'cp' | 'kup';
    readonly requestNumber: number;
    readonly certificate: Certificate;
    /** What stands above it, without the root, DER. */
    readonly chain: readonly Uint8Array[];
    /** What was asked for; null: nobody knows any more. */
    readonly asked: Pick<CertificateRequest, 'subject' | 'extensions'> | null;
    readonly roots: readonly Uint8Array[];
  },
  confirmation: Confirmation,
): CmpAnswer {
  const { answer, requestNumber: requestId, certificate, chain, asked, roots } = given;
  const status = { status: asked !== null && isAsAsked(certificate, asked) ? 'accepted' : 'grantedWithMods' } as const;
  const info =
    confirmation.kind === 'implicit'
      ? infoNode(cmpOids.implicitConfirm, nullValue())
      : infoNode(cmpOids.confirmWaitTime, generalizedTime(confirmation.at));
  return {
    kind: answer,
    content: certificateResponseNode({ requestId, status, certificate: certificate.der, roots }),
    info: [info],
    certificates: chain,
  };
}

/** The names are as asked for or it is not issued; but the subject stays empty, and the profile alone says what else is in it. */
function isAsAsked({ subject }: Certificate, asked: Pick<CertificateRequest, 'subject' | 'extensions'>): boolean {
  return sameName(subject, asked.subject) && asked.extensions.every(({ oid }) => oid === oids.subjectAltName);
}
