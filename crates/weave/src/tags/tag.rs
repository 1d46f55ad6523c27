//! The names: which tags are Belay's, which belong to others, and which are slips of the pen.

use crate::linking::distance;

/// A tag of Belay's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tag {
    Rollback,
    Transaction,
    Predict,
    Alternative,
    Resources,
    Success,
    Isolation,
    Retry,
    Depends,
    Notape,
}

/// So many wrong letters are a slip of the pen.
const SLIP_MAX: usize = 2;

/// Tags of JSDoc, TSDoc, TypeDoc and the Closure compiler, which mean nothing here.
const OTHERS: &str = "abstract access alias alpha arg argument async augments author beta borrows \
    callback category class classdesc codepen const constant constructor constructs copyright \
    decorator default defaultValue defaultvalue define deprecated desc description document \
    documentmodule emits enum event eventProperty example exception expand experimental export \
    expose exports extends external externs field file fileoverview final fires for func function \
    generator global group hidden hideconstructor host ignore implements implicitCast import \
    inherit inheritDoc inheritdoc inline inner instance interface internal jsx jsxFrag jsxRuntime \
    jsxImportSource kind label lends license link linkcode linkplain listens member memberOf \
    memberof memberof! mergeModuleWith method mixes mixin modifies module name namespace noalias \
    nocollapse nocompile nosideeffects override overload overview package packageDocumentation \
    param pragma preserve preventExpand preventInline primaryExport private privateRemarks prop \
    property protected public readonly record remarks requires return returns satisfies sealed see \
    showCategories showGroups since sortStrategy static struct summary suppress template test this \
    throws todo tutorial type typeParam typedef unrestricted useDeclaredType var variation version \
    virtual yield yields";

impl Tag {
    pub(super) const ALL: [Self; 10] = [
        Self::Rollback,
        Self::Transaction,
        Self::Predict,
        Self::Alternative,
        Self::Resources,
        Self::Success,
        Self::Isolation,
        Self::Retry,
        Self::Depends,
        Self::Notape,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Transaction => "transaction",
            Self::Predict => "predict",
            Self::Alternative => "alternative",
            Self::Resources => "resources",
            Self::Success => "success",
            Self::Isolation => "isolation",
            Self::Retry => "retry",
            Self::Depends => "depends",
            Self::Notape => "notape",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tag| tag.name() == name)
    }

    /// The tag that was meant by a name that is nobody's.
    pub(super) fn meant(name: &str) -> Option<Self> {
        if OTHERS.split_whitespace().any(|other| other == name) {
            return None;
        }
        let near = Self::ALL.into_iter().map(|tag| (distance(name, tag.name()), tag)).min();
        near.filter(|(distance, _)| *distance <= SLIP_MAX).map(|(_, tag)| tag)
    }

    /// Several of these add up to a list; of the others there is one.
    pub(super) fn is_list(self) -> bool {
        match self {
            Self::Alternative | Self::Retry | Self::Depends => true,
            Self::Rollback
            | Self::Transaction
            | Self::Predict
            | Self::Resources
            | Self::Success
            | Self::Isolation
            | Self::Notape => false,
        }
    }

    /// Says how a transaction is run, and nothing without one.
    pub(super) fn is_of_transaction(self) -> bool {
        match self {
            Self::Predict | Self::Alternative | Self::Success | Self::Isolation | Self::Retry => {
                true
            }
            Self::Rollback | Self::Transaction | Self::Resources | Self::Depends | Self::Notape => {
                false
            }
        }
    }

    /// Says something of a whole run, and nothing of a statement.
    pub(super) fn needs_function(self) -> bool {
        self.is_of_transaction() || matches!(self, Self::Transaction | Self::Notape)
    }
}
