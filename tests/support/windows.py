"""Which tests fail on Windows, and which under Wine alone, by reason.

A name may be that of one case. It ends with ``[some]`` where some cases of a test pass. Under Wine all others must
fail: one that passes is an error, and its line goes.
"""

from __future__ import annotations

import ctypes
import sys

#: What a system is not: fails on every Windows, by what it is about.
OF_POSIX: dict[str, tuple[str, ...]] = {
    "Windows answers EINVAL; those who call know": (
        "unit/cli/test_rawcopy.py::test_copy_into_a_closed_pipe_fails",
    ),
    "an open file cannot be removed on Windows": (
        "unit/base/test_locking.py::test_file_removed_between_opening_and_locking_is_not_taken",
        "unit/base/test_locking.py::test_file_that_was_removed_is_made_anew",
    ),
    "what another thread has open at that moment stays until the next look": (
        "unit/cli/test_fetchedlayers.py::test_cancelled_fetch_leaves_nothing[some]",
        "unit/cli/test_fetchedlayers.py::test_first_error_stops_all_and_leaves_nothing[some]",
        "unit/cli/test_fetchedlayers.py::test_layer_that_is_missing_is_told[some]",
    ),
    "arguments are bytes on POSIX only": (
        "unit/cli/test_look.py::test_lone_surrogate_goes_out_and_comes_back_in",
        "unit/cli/test_paths.py::test_bytes_of_a_surrogate_become_it_again",
        "unit/cli/test_paths.py::test_bytes_that_are_no_text_are_refused",
    ),
    "folders are not brought to the disk on Windows": (
        "unit/base/test_atomic.py::TestPublish::test_file_within_one_folder",
        "unit/base/test_atomic.py::TestPublish::test_folder_gets_its_name_and_the_disk_learns_it",
        "unit/base/test_atomic.py::TestSync::test_folder_of_a_file_system_without_such_a_sync",
        "unit/base/test_atomic.py::TestWriteFile::test_content_reaches_the_disk_before_the_name_does",
        "unit/backends/portable/test_scratch.py::test_closing_brings_all_to_the_disk",
    ),
    "how a folder that is no folder is refused": (
        "unit/cli/test_target.py::test_bare_tar_without_room_for_its_index_tells_of_tmpdir",
    ),
    "it is about systems that are not Windows": (
        "native/test_backend.py::test_elsewhere_it_says_what_it_needs",
        "native/test_dlls.py::test_call_on_another_system_says_what_it_needs",
        "native/test_handles.py::test_path_of_another_system_stays",
        "native/test_storage.py::test_other_system_is_told_what_it_needs",
        "native/test_windows_script.py::test_elsewhere_it_says_what_it_is_for",
        "unit/cli/test_options.py::test_backend_comes_from_the_environment_or_an_option",
    ),
    "names that differ in case alone": (
        "unit/layer/test_transport.py::test_recycle_bin_is_left_out",
    ),
    "paths of POSIX": (
        "unit/cli/test_imagenames.py::test_shell_completes_transports_and_files",
        "unit/driver/test_metadata.py::test_chain_comes_back",
    ),
    "operations are gathered where room can be set aside, which Windows cannot": (
        "unit/backends/portable/test_scratch.py::test_file_whose_removal_was_lost_is_kept",
        "unit/backends/portable/test_scratch_commits.py::test_gathered_operations_are_seen_when_they_are_committed",
        "unit/backends/portable/test_scratch_commits.py::test_many_operations_are_committed_in_between",
        "unit/backends/portable/test_scratch_commits.py::test_nothing_goes_on_after_a_commit_that_failed",
        "unit/backends/portable/test_scratch_commits.py::test_operation_that_finds_no_room_leaves_those_before",
    ),
    "open files are counted in /proc": (
        "unit/backends/portable/test_scratch_spares.py::test_those_that_nobody_took_are_told_and_closed[some]",
    ),
    "there is no ps on Windows": ("unit/base/test_processes.py::test_ps_tells_the_start_too",),
    "what a mount of ntfs-3g tells is read on Linux": (
        "unit/base/test_xattrs.py::test_attributes_below_a_root",
        "unit/base/test_xattrs.py::test_attributes_below_a_root_follow_no_link",
        "unit/base/test_xattrs.py::test_link_is_followed_where_that_is_wanted",
        "unit/base/test_xattrs.py::test_missing_is_an_error_of_the_system",
        "unit/base/test_xattrs.py::test_value_is_read_whole",
        "unit/cli/test_attach.py::test_base_layer_becomes_a_tar_that_can_be_imported",
        "unit/cli/test_attach.py::test_base_layer_is_a_target",
        "unit/cli/test_attach.py::test_body_that_is_another_ends_it",
        "unit/cli/test_attach.py::test_changes_of_targets",
        "unit/cli/test_attach.py::test_changes_without_parents_are_listed",
        "unit/cli/test_attach.py::test_layer_is_shown_alone_where_a_parent_is_damaged",
        "unit/cli/test_attach.py::test_layer_that_was_created_is_filled",
        "unit/cli/test_attach.py::test_recorded_layer_shows_over_its_parents",
        "unit/cli/test_attach.py::test_recorded_tars_are_given_byte_for_byte",
        "unit/cli/test_attach.py::test_whole_chain_is_imported",
        "unit/cli/test_check.py::test_extract_to_ntfs_refuses_other_disks",
        "unit/cli/test_target.py::test_other_store_in_the_form_of_windows_is_read_and_leaves_nothing_behind",
        "unit/layer/test_ntfsfolder.py::test_all_that_the_mount_tells_is_read",
        "unit/layer/test_ntfsfolder.py::test_bodies_are_found_by_their_names_in_the_tar[some]",
        "unit/layer/test_ntfsfolder.py::test_bodies_that_are_not_there_are_told[some]",
        "unit/layer/test_ntfsfolder.py::test_body_of_a_plain_copy_is_never_that_of_a_link",
        "unit/layer/test_ntfsfolder.py::test_body_that_a_driver_has_is_refused",
        "unit/layer/test_ntfsfolder.py::test_content_that_a_driver_has_is_refused",
        "unit/layer/test_ntfsfolder.py::test_folder_without_anything_has_no_entries",
        "unit/layer/test_ntfsfolder.py::test_nothing_outside_is_read",
        "unit/layer/test_ntfsfolder.py::test_plain_copy_has_what_any_folder_has",
        "unit/layer/test_ntfsfolder.py::test_reparse_points_show_as_links_and_are_not_followed",
        "unit/layer/test_ntfsfolder.py::test_sparse_files_are_read_with_their_holes[1048576-written5-extents5]",
        "unit/layer/test_ntfsfolder.py::test_sparse_files_are_read_with_their_holes[1048585-written4-extents4]",
        "unit/layer/test_ntfsfolder.py::test_sparse_files_are_read_with_their_holes[131072-written3-extents3]",
        "unit/layer/test_ntfsfolder.py::test_sparse_files_are_read_with_their_holes[3145733-written2-extents2]",
        "unit/layer/test_ntfsfolder.py::test_what_is_no_file_is_malformed",
        "unit/layer/test_ntfswriter.py::test_everything_is_set_and_what_is_in_a_folder_first",
    ),
}

#: What Wine cannot, or the stand-in on it.
OF_WINE: dict[str, tuple[str, ...]] = {
    "processes start so slowly that waits for them end first, now and then": (
        "unit/base/test_locking.py::test_lock_holds_between_processes_and_names_the_holder[some]",
    ),
    "Wine cannot store names with lone surrogates, nor some that NTFS takes": (
        "conformance/test_backend.py::test_lone_surrogates_are_reported_and_kept[native]",
        "conformance/test_backend.py::test_names_that_can_only_just_be_pass_when_asked[native-tab\\t]",
        "conformance/test_backend.py::test_names_that_can_only_just_be_pass_when_asked[native-what?]",
        "native/test_check.py::test_what_windows_does_not_remove_is_removed_by_handle",
        "unit/cli/test_check.py::test_extract_writes_files_and_tells_each_kind_of_loss_once",
        "unit/layer/test_transportfolder.py::test_lone_surrogate_is_kept_or_refused",
        "unit/layer/test_transportfolder.py::test_name_that_the_host_cannot_hold_is_unsupported",
    ),
    "the plain copy has no named streams": (
        "native/test_check.py::test_content_is_read_without_windows",
    ),
    "Wine does not keep creation and change times": (
        "native/test_folder.py::test_file_is_created_with_times_and_attributes",
        "native/test_importing.py::test_base_layer_has_all_that_was_given",
        "native/test_importing.py::test_child_layer_has_all_that_was_given",
        "native/test_importing.py::test_utility_vm_is_that_of_the_parent_but_for_what_is_changed",
        "unit/base/test_rooted.py::TestVerbs::test_times_are_set",
        "unit/layer/test_transporthost.py::test_info_is_remembered_exactly_and_set_as_far_as_it_goes",
    ),
    "Wine makes no symbolic links, and does not heed OBJ_DONT_REPARSE": (
        "native/test_folder.py::test_link_itself_is_looked_at",
        "native/test_folder.py::test_reparse_point_that_opens_as_a_folder_is_left_alone",
        "native/test_importing.py::test_utility_vm_that_became_a_link_is_refused",
        "native/test_importing.py::test_utility_vm_with_links_is_cloned",
        "native/test_nativehost.py::test_layer_is_walked",
        "native/test_nativehost.py::test_nothing_outside_is_reached",
        "native/test_transporthost.py::test_no_link_is_gone_through",
        "native/test_transporthost.py::test_times_are_set_and_read",
        "native/test_transporthost.py::test_what_is_there_is_seen",
    ),
    "Wine makes no symbolic links: it says that it did": (
        "unit/base/test_atomic.py::TestPublish::test_name_in_use_is_not_taken[some]",
        "unit/base/test_rooted.py::TestLinks::test_link_itself_is_what_is_meant",
        "unit/base/test_rooted.py::TestLinks::test_link_without_times_of_its_own_is_told",
        "unit/base/test_rooted.py::TestLinks::test_links_in_a_tree_are_removed_and_not_followed",
        "unit/base/test_rooted.py::TestLinks::test_nothing_goes_through_a_link",
        "unit/base/test_rooted.py::TestVerbs::test_nothing_is_replaced",
        "unit/base/test_rooted.py::TestVerbs::test_removed_folder_is_no_longer_known",
        "unit/base/test_rooted.py::TestVerbs::test_renamed_folder_is_no_longer_known_by_its_old_name",
        "unit/cli/test_rawcopy.py::test_new_file_follows_a_link_and_takes_a_device",
        "unit/layer/test_dockerlayerdb.py::test_links_are_not_followed",
        "unit/layer/test_folder.py::test_links_are_relative_and_spelled_as_their_targets",
        "unit/layer/test_folder.py::test_links_out_of_the_subtree_are_left_out",
        "unit/layer/test_folder.py::test_no_link_leads_out_of_the_destination[some]",
        "unit/layer/test_transport.py::test_link_of_the_host_is_refused",
        "unit/layer/test_utilityvm.py::test_plain_files_share_and_others_are_copies",
    ),
    "Wine's accounts hold every privilege, and it is not counted": (
        "native/test_backup.py::test_no_privilege_no_stream",
        "native/test_backup.py::test_the_privilege_lasts_as_long_as_the_stream",
        "native/test_files.py::test_account_must_be_allowed",
        "native/test_files.py::test_failure_leaves_nothing_open[CloseHandle-6]",
        "native/test_files.py::test_privilege_is_held_while_a_file_is_opened_only",
        "native/test_folder.py::test_no_link_is_followed",
        "native/test_folder.py::test_no_name_is_made_through_a_link",
        "native/test_handles.py::test_privilege_that_the_account_lacks_is_told",
        "native/test_handles.py::test_privileges_are_given_back_whatever_fails[CloseHandle]",
        "native/test_handles.py::test_privileges_are_held_while_the_with_lasts",
        "native/test_handles.py::test_privileges_are_those_of_one_thread",
        "native/test_handles.py::test_privileges_inside_the_same_do_nothing",
        "native/test_importing.py::test_account_must_be_allowed",
        "native/test_importing.py::test_what_was_imported_is_exported_again",
        "native/test_importing.py::test_writer_holds_until_it_ends",
        "native/test_nativehost.py::test_backup_is_read_and_all_is_closed",
        "native/test_nativehost.py::test_failure_to_read_leaves_nothing_open",
        "native/test_nativehost.py::test_the_privilege_is_needed",
        "native/test_transporthost.py::test_folder_is_opened_once",
        "native/test_vhd.py::test_disk_is_opened_with_all_access_and_closed",
    ),
    "the log, texts and numbers of handles are those of the stand-in": (
        "native/test_busy.py::test_failure_to_ask_who_holds_the_layer_does_not_hide_that_it_is_busy",
        "native/test_dlls.py::test_addresses_above_four_gigabytes_survive",
        "native/test_dlls.py::test_failure_to_tell_a_text_is_told_without_one",
        "native/test_dlls.py::test_function_can_be_taken_from_another_library",
        "native/test_dlls.py::test_hresult_is_told_raw_and_folded_with_the_text_of_windows",
        "native/test_dlls.py::test_last_error_is_that_of_the_call_not_of_its_text",
        "native/test_dlls.py::test_status_becomes_the_code_that_ntdll_makes_of_it",
        "native/test_dlls.py::test_win32_code_is_what_is_returned",
        "native/test_files.py::test_any_place_is_read",
        "native/test_folder.py::test_file_gets_one_more_name",
        "native/test_folder.py::test_file_is_removed",
        "native/test_folder.py::test_no_less_than_the_whole_structure_is_given",
        "native/test_handles.py::test_folder_opens_with_backup_semantics",
        "native/test_handles.py::test_handles_are_closed_in_reverse_order",
        "native/test_handles.py::test_what_is_asked_for_arrives",
        "native/test_hcs.py::test_failure_of_an_operation_is_that_of_its_call",
        "native/test_holders.py::test_host_without_the_restart_manager_names_compute_systems",
        "native/test_holders.py::test_processes_that_hold_files_of_the_layer_are_named",
        "native/test_importing.py::test_base_layer_is_written_in_order",
        "native/test_importing.py::test_child_layer_is_written_in_order",
        "native/test_importing.py::test_failure_of_any_call_leaves_nothing_behind",
        "native/test_importing.py::test_second_generation_takes_the_same_layer_in",
        "native/test_importing.py::test_what_no_base_layer_has_is_refused[items8-Malformed-parent-not-directory]",
        "native/test_importing.py::test_what_no_child_layer_has_is_refused[items3-parent-not-directory]",
        "native/test_scratches.py::test_disk_is_exported_by_its_volume_without_the_filter",
        "native/test_scratches.py::test_disk_that_does_not_close_is_told_and_nothing_is_left",
        "native/test_scratches.py::test_disk_that_does_not_close_is_unmounted",
        "native/test_scratches.py::test_disk_that_does_not_mount_is_as_before",
        "native/test_scratches.py::test_disk_that_does_not_tell_is_told[second-GetVirtualDiskInformation-1]",
        "native/test_scratches.py::test_disk_that_does_not_tell_is_told[second-OpenVirtualDisk-0]",
        "native/test_scratches.py::test_disk_that_does_not_unmount_is_told",
        "native/test_scratches.py::test_disk_that_is_held_for_a_moment_is_waited_for",
        "native/test_scratches.py::test_host_without_compute_systems_has_none_to_end",
        "native/test_scratches.py::test_later_builds_take_the_handle_of_the_disk_to_format_it",
        "native/test_scratches.py::test_layer_is_destroyed[second]",
        "native/test_scratches.py::test_nothing_is_left_of_a_disk_that_fails[AttachVirtualDisk-6]",
        "native/test_scratches.py::test_nothing_is_left_of_a_disk_that_fails[CreateFileW-2]",
        "native/test_scratches.py::test_nothing_is_left_of_a_disk_that_fails[HcsFormatWritableLayerVhd-3]",
        "native/test_scratches.py::test_nothing_is_left_of_a_disk_that_fails[HcsGetLayerVhdMountPath-7]",
        "native/test_scratches.py::test_nothing_is_left_of_a_disk_that_fails[HcsInitializeWritableLayer-8]",
        "native/test_scratches.py::test_nothing_is_left_of_a_disk_that_fails[OpenVirtualDisk-5]",
        "native/test_scratches.py::test_scratch_is_as_before_where_the_export_fails[second-False]",
        "native/test_scratches.py::test_scratch_is_as_before_where_the_export_fails[second-True]",
        "native/test_scratches.py::test_scratch_is_made_on_its_disk",
        "native/test_scratches.py::test_scratch_is_mounted_and_unmounted_by_its_disk",
        "native/test_scratches.py::test_scratch_of_no_size_is_as_windows_makes_it",
        "native/test_scratches.py::test_scratch_that_cannot_be_undone_is_told_with_the_first_failure",
        "native/test_scratches.py::test_scratch_that_is_attached_since_a_crash_is_detached[second]",
        "native/test_scratches.py::test_size_of_a_disk_is_rounded_up",
        "native/test_storage.py::test_path_of_a_volume_is_read_and_freed",
        "native/test_systems.py::test_other_failures_to_enumerate_are_not_tried_again[16299-3224830213-3224830213]",
        "native/test_systems.py::test_other_failures_to_enumerate_are_not_tried_again[20348-2147942405-5]",
        "native/test_systems.py::test_service_that_goes_away_ends_the_wait",
        "native/test_systems.py::test_system_that_does_not_end_in_time_is_told",
        "native/test_systems.py::test_template_is_ended_and_waited_for",
        "native/test_transporthost.py::test_what_is_removed_must_be_there",
        "native/test_vhd.py::test_disk_is_closed_whatever_fails[attach-2]",
        "native/test_vhd.py::test_disk_is_closed_whatever_fails[create-1]",
        "native/test_vhd.py::test_disk_is_closed_whatever_fails[detach-2]",
        "native/test_vhd.py::test_disk_is_closed_whatever_fails[is_attached-2]",
        "native/test_vhd.py::test_disk_is_made_with_its_size",
        "native/test_vhd.py::test_failure_to_close_does_not_hide_the_failure_before",
        "native/test_volumes.py::test_file_system_is_that_of_the_volume_that_a_path_is_on",
        "native/test_volumes.py::test_letter_is_opened_as_a_volume",
        "native/test_volumes.py::test_refs_is_refused_in_any_case",
        "native/test_volumes.py::test_volume_is_closed_whatever_fails[4]",
        "native/test_volumes.py::test_volume_is_opened_without_its_last_backslash",
        "native/test_volumes.py::test_volume_is_told_to_fill_its_partition",
    ),
}


def is_wine() -> bool:
    """Whether this Windows is Wine."""
    return sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


def expected_failures() -> dict[str, tuple[str, bool]]:
    """The reason, and whether every case fails, by name of the test; none where this is no Windows."""
    tables = [OF_POSIX] if sys.platform == "win32" else []
    if is_wine():
        tables.append(OF_WINE)
    return {
        f"tests/{name.removesuffix('[some]')}": (reason, not name.endswith("[some]"))
        for table in tables
        for reason, names in table.items()
        for name in names
    }
