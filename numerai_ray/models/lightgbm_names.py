"""LightGBM's names for the parameters that most fits have, so that a fit that it does not train need not import it.

With it come pandas and, where they are installed, scikit-learn and more of SciPy: a second or less of every process,
and 80 MB. Tests hold the table against the installed LightGBM, which is asked for every name that is not here.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

# Main name: the others.
_TABLE = """
bagging_fraction: bagging sub_row subsample
bagging_freq: subsample_freq
bagging_seed: bagging_fraction_seed
bin_construct_sample_cnt: subsample_for_bin
boost_from_average:
boosting: boost boosting_type
data: data_filename train train_data train_data_file
data_random_seed: data_seed
data_sample_strategy:
deterministic:
device_type: device
drop_seed:
early_stopping_round: early_stopping early_stopping_rounds n_iter_no_change
extra_seed:
extra_trees: extra_tree
feature_fraction: colsample_bytree sub_feature
feature_fraction_bynode: colsample_bynode sub_feature_bynode
feature_fraction_seed:
feature_pre_filter:
force_col_wise:
force_row_wise:
lambda_l1: l1_regularization reg_alpha
lambda_l2: l2_regularization lambda reg_lambda
learning_rate: eta shrinkage_rate
linear_tree: linear_trees
max_bin: max_bins
max_delta_step: max_leaf_output max_tree_output
max_depth:
min_data_in_bin:
min_data_in_leaf: min_child_samples min_data min_data_per_leaf min_samples_leaf
min_gain_to_split: min_split_gain
min_sum_hessian_in_leaf: min_child_weight min_hessian min_sum_hessian min_sum_hessian_per_leaf
num_iterations: max_iter n_estimators n_iter nrounds num_boost_round num_iteration num_round num_rounds
  num_tree num_trees
num_leaves: max_leaf max_leaf_nodes max_leaves num_leaf
num_threads: n_jobs nthread nthreads num_thread
objective: app application loss objective_type
objective_seed:
path_smooth:
reg_sqrt:
seed: random_seed random_state
tree_learner: tree tree_learner_type tree_type
use_missing:
use_quantized_grad:
valid: test test_data test_data_file valid_data valid_data_file valid_filenames
verbosity: verbose
zero_as_missing:
"""


def _read(table: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in table.split():
        if word.endswith(":"):
            main = word[:-1]
        found[word.rstrip(":")] = main
    return found


NAMES: Mapping[str, str] = MappingProxyType(_read(_TABLE))


def main_names(params: Iterable[str]) -> Mapping[str, str]:
    """Names of LightGBM's parameters -> their main names: of all where ``params`` has one that is not usual."""
    return NAMES if NAMES.keys() >= set(params) else all_names()


@cache
def all_names() -> Mapping[str, str]:
    """Every parameter name that LightGBM knows -> its main name."""
    import lightgbm  # noqa: PLC0415

    aliases = lightgbm.basic._ConfigAliases._get_all_param_aliases()
    return {name: main for main, others in aliases.items() for name in (main, *others)}
