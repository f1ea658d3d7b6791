import { Problem } from '../../core/problems/problem.ts';
import type { Identifier } from './identifier.ts';

/** The registered error types that this server answers with (RFC 8555 section 6.7, RFC 9773, profiles draft), each with its usual status. */
export const acmeErrors = {
  accountDoesNotExist: 400,
  alreadyReplaced: 409,
  alreadyRevoked: 400,
  badCSR: 400,
  badNonce: 400,
  badPublicKey: 400,
  badRevocationReason: 400,
  badSignatureAlgorithm: 400,
  caa: 403,
  compound: 400,
  connection: 400,
  dns: 400,
  externalAccountRequired: 403,
  incorrectResponse: 403,
  invalidContact: 400,
  invalidProfile: 400,
  malformed: 400,
  orderNotReady: 403,
  rateLimited: 429,
  rejectedIdentifier: 400,
  serverInternal: 500,
  tls: 400,
  unauthorized: 403,
  unsupportedContact: 400,
  unsupportedIdentifier: 400,
  userActionRequired: 403,
} as const;
export type AcmeErrorType = keyof typeof acmeErrors;

/** What a client did wrong about one of several identifiers (RFC 8555 section 6.7.1). */
export type Subproblem = { readonly type: AcmeErrorType; readonly detail: string; readonly identifier: Identifier };

type AcmeProblemOptions = {
  readonly status?: number;
  readonly headers?: { readonly [name: string]: string };
  readonly subproblems?: readonly Subproblem[];
  /** More members of the document, such as `algorithms` or `instance`. */
  readonly members?: { readonly [name: string]: unknown };
  readonly cause?: unknown;
  /** Why, where the outside does not learn it: for the log. */
  readonly reason?: string;
};

/** A refusal in the words of ACME. Its message reaches the client: it holds no secret. */
export class AcmeProblem extends Error {
  readonly type: AcmeErrorType;
  readonly options: AcmeProblemOptions;

  constructor(type: AcmeErrorType, message: string, options: AcmeProblemOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'AcmeProblem';
    this.type = type;
    this.options = options;
  }

  get status(): number {
    return this.options.status ?? acmeErrors[this.type];
  }
}

/** The error of a resource, as orders and challenges keep it. */
export type ProblemDocument = {
  readonly type: string;
  readonly detail: string;
  readonly status: number;
  readonly subproblems?: readonly { readonly type: string; readonly detail: string; readonly identifier: Identifier }[];
};

/** The problem as a document (RFC 9457). */
export function toDocument(problem: AcmeProblem): ProblemDocument {
  const { members = {}, subproblems } = problem.options;
  return {
    type: `${URN}${problem.type}`,
    detail: problem.message,
    status: problem.status,
    ...(subproblems === undefined ? {} : { subproblems: subproblems.map((sub) => ({ ...sub, type: `${URN}${sub.type}` })) }),
    ...members,
  };
}

/** The one place where errors become ACME's. What failed inside tells the outside nothing. */
export function toAcmeProblem(error: unknown): AcmeProblem {
  if (error instanceof AcmeProblem) return error;
  const cause = error;
  if (!(error instanceof Problem) || error.status >= 500)
    return new AcmeProblem('serverInternal', 'Cannot answer: something failed inside', { cause });
  switch (error.code) {
    case 'csr-malformed':
      return new AcmeProblem('badCSR', error.message, { cause });
    case 'identity-malformed':
      return new AcmeProblem('rejectedIdentifier', error.message, { cause });
    case 'issuance-refused':
      return new AcmeProblem('unauthorized', error.message, { cause });
    case 'not-found':
      return notFound();
    default:
      return new AcmeProblem('malformed', error.message, { cause, status: error.status });
  }
}

/** There is none, or it is another account's: the answer is the same, so that ids cannot be tried. */
export function notFound(): AcmeProblem {
  return new AcmeProblem('malformed', 'Cannot find resource: there is none of this URL for this account', { status: 404 });
}

export function malformed(what: string, options: AcmeProblemOptions = {}): AcmeProblem {
  return new AcmeProblem('malformed', `Cannot read request: ${what}`, options);
}

const URN = 'urn:ietf:params:acme:error:';
