/** The published rules of build checks. https://docs.docker.com/reference/build-checks/ */

interface Rule {
  description: string
  path: string
  /** Only looked at where the `check` directive asks for it. */
  experimental?: true
}

/** Pages of the rules are below it. */
export const BASE = 'https://docs.docker.com/go/dockerfile/rule/'

export const RULES = {
  StageNameCasing: { description: 'Stage names should be lowercase', path: 'stage-name-casing/' },
  FromAsCasing: {
    description: "The 'as' keyword should match the case of the 'from' keyword",
    path: 'from-as-casing/',
  },
  NoEmptyContinuation: {
    description: 'Empty continuation lines will become errors in a future release',
    path: 'no-empty-continuation/',
  },
  ConsistentInstructionCasing: {
    description: 'All commands within the Dockerfile should use the same casing (either upper or lower)',
    path: 'consistent-instruction-casing/',
  },
  DuplicateStageName: { description: 'Stage names should be unique', path: 'duplicate-stage-name/' },
  ReservedStageName: {
    description: 'Reserved words should not be used as stage names',
    path: 'reserved-stage-name/',
  },
  JSONArgsRecommended: {
    description:
      'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
    path: 'json-args-recommended/',
  },
  MaintainerDeprecated: {
    description: 'The MAINTAINER instruction is deprecated, use a label instead to define an image author',
    path: 'maintainer-deprecated/',
  },
  UndefinedArgInFrom: {
    description: 'FROM command must use declared ARGs',
    path: 'undefined-arg-in-from/',
  },
  WorkdirRelativePath: {
    description:
      'Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes',
    path: 'workdir-relative-path/',
  },
  UndefinedVar: { description: 'Variables should be defined before their use', path: 'undefined-var/' },
  MultipleInstructionsDisallowed: {
    description: 'Multiple instructions of the same type should not be used in the same stage',
    path: 'multiple-instructions-disallowed/',
  },
  LegacyKeyValueFormat: {
    description: 'Legacy key/value format with whitespace separator should not be used',
    path: 'legacy-key-value-format/',
  },
  RedundantTargetPlatform: {
    description:
      'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
    path: 'redundant-target-platform/',
  },
  SecretsUsedInArgOrEnv: {
    description: 'Sensitive data should not be used in the ARG or ENV commands',
    path: 'secrets-used-in-arg-or-env/',
  },
  FromPlatformFlagConstDisallowed: {
    description: 'FROM --platform flag should not use a constant value',
    path: 'from-platform-flag-const-disallowed/',
  },
  InvalidDefaultArgInFrom: {
    description: 'Default value for global ARG results in an empty or invalid base image name',
    path: 'invalid-default-arg-in-from/',
  },
  ExposeProtoCasing: {
    description: 'Protocol in EXPOSE instruction should be lowercase',
    path: 'expose-proto-casing/',
  },
  ExposeInvalidFormat: {
    description:
      'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release',
    path: 'expose-invalid-format/',
  },
  CopyIgnoredFile: {
    description: 'Attempting to Copy file that is excluded by .dockerignore',
    path: 'copy-ignored-file/',
    experimental: true,
  },
  InvalidDefinitionDescription: {
    description:
      'Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.',
    path: 'invalid-definition-description/',
    experimental: true,
  },
} as const satisfies Record<string, Rule>

export type RuleName = keyof typeof RULES

export const isExperimental = (rule: RuleName): boolean => 'experimental' in RULES[rule]
